"""How a command is made: options it shares with others, its output, its exit code."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any

import typer

from openrdms.cli import output
from openrdms.model import errors

EXIT_REFUSED = 1
EXIT_UNREACHABLE = 3
EXIT_LOGIN = 4
EXIT_NOT_YET = 5
EXIT_CODES = """Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 nothing answers;
4 login refused; 5 not yet: ask again."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Opener = Callable[..., AbstractContextManager[Any]]


class LoginRefused(errors.RdmsError):
    """User or password were not accepted."""


class Unreachable(errors.RdmsError):
    """Nothing answers at that address, or its certificate is not trusted."""


def command(
    group: typer.Typer, name: str, opens: Opener | None = None
) -> Callable[[Callable[..., output.Result]], Callable[..., output.Result]]:
    """Make a function a command of ``group``.

    ``opens`` is a context manager whose parameters become further options of the command; what
    it yields is the function's first argument. What the function returns is printed.
    """

    def register(function: Callable[..., output.Result]) -> Callable[..., output.Result]:
        own = _parameters(function)[1 if opens else 0 :]
        shared = _parameters(opens) if opens else []

        @functools.wraps(function)
        def run(*, as_json: bool, **arguments: Any) -> None:
            mine = {parameter.name: arguments.pop(parameter.name) for parameter in own}
            with exit_codes():
                if opens is None:
                    result = function(**mine)
                else:
                    with opens(**arguments) as opened:
                        result = function(opened, **mine)
                output.show(result, as_json=as_json)
                if isinstance(result, output.NotYet):
                    raise typer.Exit(EXIT_NOT_YET)

        json_option = inspect.Parameter(
            "as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=AsJson
        )
        _set_signature(run, [*own, *shared, json_option])
        group.command(name)(run)
        return function

    return register


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    signature = inspect.signature(function, eval_str=True)
    return [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in signature.parameters.values()
    ]


def _set_signature(run: Any, parameters: list[inspect.Parameter]) -> None:
    """Typer reads a command's options from its signature and its annotations."""
    run.__signature__ = inspect.Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}


@contextmanager
def exit_codes() -> Iterator[None]:
    """Tell an error in one line. A pipe whose reader has gone is for Typer to end quietly."""
    try:
        yield
    except errors.RdmsError as error:
        output.complain(str(error))
        raise typer.Exit(_exit_code(error)) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        output.complain(f"{place}{error.strerror or error}")
        raise typer.Exit(EXIT_REFUSED) from error


def _exit_code(error: errors.RdmsError) -> int:
    if isinstance(error, LoginRefused):
        return EXIT_LOGIN
    is_away = isinstance(error, Unreachable | errors.RecordsUnavailable)
    return EXIT_UNREACHABLE if is_away else EXIT_REFUSED
