// A real OpenID provider with people whom nobody needs a password for.
// node oidc-provider.mjs '{"port": N, "redirect": "https://...", "client": "...", "secret": "..."}'
// POST /wrong?what=WHAT has it spoil the ID tokens from then on: signature, payload, unsigned; "" for none.

import Provider from "../browser/node_modules/oidc-provider/lib/index.js";

const { port, redirect, client, secret } = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const people = {
  ann: { preferred_username: "ann", groups: ["vdi", "lunch"] },
  olga: { preferred_username: "olga", groups: ["operators"] },
  admin: { preferred_username: "admin", groups: [] },
};

const provider = new Provider(issuer, {
  clients: [{ client_id: client, client_secret: secret, redirect_uris: [redirect] }],
  cookies: { keys: ["only in tests"] },
  claims: { openid: ["sub"], profile: ["preferred_username"], groups: ["groups"] },
  pkce: { required: () => true },
  findAccount: (_, id) => people[id] && { accountId: id, claims: async () => ({ sub: id, ...people[id] }) },
});

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const decode = (part) => JSON.parse(Buffer.from(part, "base64url"));
const spoil = {
  signature: ([head, body, seal]) => [head, body, (seal[0] === "A" ? "B" : "A") + seal.slice(1)],
  payload: ([head, body, seal]) => [head, encode({ ...decode(body), sub: "admin" }), seal],
  unsigned: ([head, body]) => [encode({ ...decode(head), alg: "none" }), body, ""],
};
let wrong = "";

provider.use(async (context, next) => {
  if (context.path === "/wrong") {
    wrong = context.query.what;
    context.body = {};
    return;
  }
  await next();
  if (context.path === "/token" && wrong && context.body.id_token) {
    context.body.id_token = spoil[wrong](context.body.id_token.split(".")).join(".");
  }
});

provider.listen(port, "127.0.0.1", () => console.log("ready"));
