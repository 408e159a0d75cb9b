// A device as second proof: confirmed by its code, then its recovery codes are shown, this once.

import { call } from "./api.js";
import { clearErrors, showErrors } from "./forms.js";
import { refresh } from "./regions.js";

const dialog = () => document.getElementById("recovery");
const list = () => dialog().querySelector("ul");

function show(codes) {
  list().replaceChildren(...codes.map((code) => Object.assign(document.createElement("li"), { textContent: code })));
  dialog().showModal();
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.id !== "second-factor") return;
  event.preventDefault();
  clearErrors(form);
  try {
    show((await call("POST", "/me/totp", { code: form.elements.code.value })).codes);
  } catch (refused) {
    if (refused.reason === "Stale") return refresh(document.getElementById("account"));
    showErrors(form, refused);
  }
});

dialog().addEventListener("close", () => {
  list().replaceChildren();
  refresh(document.getElementById("account"));
});
