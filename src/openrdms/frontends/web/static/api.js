// Calls of the REST API with the session's cookie and its CSRF token.

export const PREFIX = "/api/v1";

/** What the API refused (RFC 9457): `fields` is [{field, reason}], `status` the HTTP status. */
export class Refused extends Error {
  constructor(problem, status) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
    this.fields = problem.fields ?? [];
    this.reason = problem.reason ?? "";
  }
}

function headers(body, repeatable) {
  const token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
  return {
    accept: "application/json",
    "x-csrf-token": token,
    ...(body === undefined ? {} : { "content-type": "application/json" }),
    ...(repeatable ? { "idempotency-key": repeatable } : {}),
  };
}

async function send(path, options) {
  const reply = await fetch(path, options).catch(() => {
    throw new Refused({ title: "OpenRDMS?" }, 0);
  });
  if (reply.ok) return reply;
  if (reply.status === 401) location.assign(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
  throw new Refused(await read(reply), reply.status);
}

async function read(reply) {
  const text = await reply.text();
  return text && reply.headers.get("content-type")?.includes("json") ? JSON.parse(text) : {};
}

/**
 * The JSON that `path` (below /api/v1) answers. Throws Refused. The same `repeatable` key twice
 * is done once. Who has been signed out goes to the sign-in page and comes back here.
 */
export async function call(method, path, body, repeatable) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return read(await send(PREFIX + path, { method, headers: headers(body, repeatable), body: text }));
}

/** What a page answers to `body`, as nodes. Throws Refused. */
export async function fetchPart(path, body) {
  const wanted = { ...headers(body), "x-part": "whole" };
  const reply = await send(path, { method: "POST", headers: wanted, body: JSON.stringify(body) });
  const range = document.createRange();
  return range.createContextualFragment(await reply.text());
}
