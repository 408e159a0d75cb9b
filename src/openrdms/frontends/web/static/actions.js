// What buttons and forms do, said where they are:
//   <button data-call="POST /jobs/X/cancel" data-body='{...}' data-ask="Cancel?" data-done="...">
//   <form data-call="PATCH /hosts/X" data-done="..." data-next="/console/..."> sends its fields
//   data-chosen="sessions" as well: the rows chosen go as {"sessions": [...]}, each has its result
// data-result="kept_for" names the member of the answer's items that says why one was left as it is.
// `{id}` in data-next is filled in from the answer.

import { call } from "./api.js";
import { ask } from "./dialogs.js";
import { clearErrors, read, showErrors } from "./forms.js";
import { refresh } from "./regions.js";
import { chosen, showResults } from "./selection.js";
import { toast } from "./toasts.js";

async function send(element, body) {
  const [method, path] = element.dataset.call.split(" ");
  const key = method === "POST" ? crypto.randomUUID() : undefined;
  const answer = await call(method, path, body, key);
  if (element.dataset.chosen) showResults(answer, element.dataset.done);
  else tell(element.dataset, answer);
  follow(element, answer);
}

// An answer whose items say in the member data-result why they were not done says so.
function tell({ result, done }, answer) {
  const kept = result ? answer.items.map((item) => item[result]).filter(Boolean) : [];
  if (kept.length) toast(kept.join("; "), "busy");
  else if (done) toast(done);
}

function follow(element, answer) {
  const { next } = element.dataset;
  if (next) return location.assign(next.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(answer[name])));
  for (const region of document.querySelectorAll("[data-region]")) refresh(region);
}

async function whileBusy(element, work) {
  element.setAttribute("aria-busy", "true");
  element.disabled = true;
  try {
    await work();
  } finally {
    element.removeAttribute("aria-busy");
    element.disabled = false;
  }
}

const chosenFor = ({ dataset }) => (dataset.chosen ? { [dataset.chosen]: chosen() } : {});

async function press(button) {
  const { ask: words, body } = button.dataset;
  const rows = chosenFor(button); // as they are when he presses, not once he has said yes
  if (words && !(await ask(words, button.textContent.trim()))) return;
  const given = body || button.dataset.chosen ? { ...JSON.parse(body || "{}"), ...rows } : undefined;
  await whileBusy(button, () => send(button, given)).catch((refused) => toast(refused.message, "bad"));
}

async function submit(form) {
  clearErrors(form);
  const rows = chosenFor(form);
  const button = form.querySelector("button:not([type=button])");
  try {
    await whileBusy(button, () => send(form, { ...read(form, form.dataset.whole !== undefined), ...rows }));
    for (const dialog of document.querySelectorAll("dialog[open]:not(#results)")) dialog.close();
    if (form.dataset.keep === undefined) form.reset();
  } catch (refused) {
    showErrors(form, refused);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-call]");
  if (button) press(button);
});

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-call]")) return;
  event.preventDefault();
  submit(event.target);
});
