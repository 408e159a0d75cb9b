// One's own account: forms are actions.js's; a new token is shown here, this once.

import "./actions.js";
import { call } from "./api.js";
import { clearErrors, showErrors } from "./forms.js";
import { refresh } from "./regions.js";
import { toast } from "./toasts.js";

const dialog = () => document.getElementById("secret");

function read(form) {
  const scopes = [...form.querySelectorAll("[name=scope]:checked")].map((box) => box.value);
  const day = form.elements.expires.value;
  const expires = day ? new Date(`${day}T23:59:59`).toISOString() : null;
  return { name: form.elements.name.value, scopes, expires };
}

async function make(form) {
  clearErrors(form);
  try {
    const made = await call("POST", "/me/tokens", read(form));
    dialog().querySelector("output").textContent = made.secret;
    dialog().showModal();
    form.reset();
    refresh(document.getElementById("account"));
  } catch (refused) {
    if (refused.reason === "Stale") return refresh(document.getElementById("account"));
    showErrors(form, refused);
  }
}

document.addEventListener("submit", (event) => {
  if (event.target.id !== "token") return;
  event.preventDefault();
  make(event.target);
});

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(dialog().querySelector("output").textContent);
  toast(button.dataset.copied);
});

dialog().addEventListener("close", () => dialog().querySelector("output").replaceChildren());
