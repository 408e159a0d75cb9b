"""The description of the API (OpenAPI 3.1), for people and for generated clients."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from openrdms.frontends.web.problems import MEDIA_TYPE, Problem
from openrdms.frontends.web.visitors import COOKIE

_WORDS = """\
Everything that administrators do, and what users do with their own desktops.

Send an API token as `Authorization: Bearer TOKEN`; browsers send the cookie of their session, and
prove changes by the header `X-CSRF-Token`. Lists come by pages: `limit` items, and `next` as the
`cursor` of those that follow. A POST with an `Idempotency-Key` may be sent again. Errors are
problem details (RFC 9457) that name fields. Long work is a job or a task; `/api/v1/events` tells of
changes.
"""

_TAGS = {
    "applications": "What collections publish.",
    "assignments": "Users of personal session desktops.",
    "audit": "Who did what, and what nobody accounts for.",
    "collections": "Collections of virtual desktops, their pools and updates.",
    "desktops": "Virtual desktops.",
    "display": "Desktops in the browser.",
    "events": "Live changes.",
    "hosts": "Hypervisor hosts.",
    "images": "Golden images.",
    "jobs": "Provisioning jobs.",
    "me": "What users do with their own desktops and accounts.",
    "metrics": "Figures at a glance.",
    "sessions": "Users who are logged on.",
    "settings": "Settings of the deployment.",
    "tasks": "Long work that is no provisioning job.",
    "users": "Accounts and their tokens.",
}

_EXAMPLE = {
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "name_prefix: only letters, digits and, not first, - and _",
    "code": 2147749896,
    "fields": [{"field": "name_prefix", "reason": "only letters, digits and, not first, - and _"}],
}


_KEY = {
    "name": "idempotency-key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "description": "Of your choice: within 24 hours the same request is carried out once.",
}


def name_operation(route: APIRoute) -> str:
    """What a generated client calls its method: the function's name, marked for one's own."""
    return f"my_{route.name}" if "me" in route.tags else route.name


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole description; made once."""
    if app.openapi_schema:
        return app.openapi_schema
    schema = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=_WORDS,
        routes=[route for route in app.routes if _is_api(route)],
        tags=[{"name": name, "description": words} for name, words in _TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {}).update(_problem_schemas())
    components["responses"] = {"Problem": _problem_response()}
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
    }
    schema["security"] = [{"token": []}, {"session": []}]
    for path in schema["paths"].values():
        for method, operation in path.items():
            _refuse_by_problems(operation)
            if method == "post" and operation["tags"] != ["me"]:
                _take_key(operation)
    app.openapi_schema = schema
    return schema


def _is_api(route: Any) -> bool:
    return not isinstance(route, APIRoute) or route.path.startswith("/api/")


def _problem_schemas() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "Problem": schema}


def _problem_response() -> dict[str, Any]:
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": _EXAMPLE}
    return {
        "description": "Refused, with the reason; Retry-After says when to come again.",
        "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}},
        "content": {MEDIA_TYPE: content},
    }


def _take_key(operation: dict[str, Any]) -> None:
    others = [one for one in operation.get("parameters", []) if one["name"] != _KEY["name"]]
    operation["parameters"] = [*others, _KEY]


def _refuse_by_problems(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    for statuses in ("4XX", "5XX"):
        responses[statuses] = {"$ref": "#/components/responses/Problem"}
