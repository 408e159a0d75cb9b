// The wizard for a collection: steps in turn, the plan before anything is made, then the
// collection and the job that makes its desktops.

import { call } from "./api.js";
import { clearErrors, read, showErrors } from "./forms.js";
import { showPlan } from "./plan.js";

const form = document.getElementById("wizard");
const steps = [...form.querySelectorAll("[data-step]")];
const marks = [...form.querySelectorAll(".steps > li")];
const [back, forward, apply] = ["back", "forward", "apply"].map((name) => form.querySelector(`[data-${name}]`));
let at = 0;
let isMade = false;

const fieldsOf = (step) => [...step.querySelectorAll("input, select, textarea")];
const jobOf = (fields) => ({ ...fields.job, collection: fields.collection.alias });

function show(number) {
  at = number;
  steps.forEach((step, index) => (step.hidden = index !== at));
  marks.forEach((mark, index) => (index === at ? mark.setAttribute("aria-current", "step") : mark.removeAttribute("aria-current")));
  back.hidden = at === 0;
  forward.hidden = at === steps.length - 1;
  apply.hidden = !forward.hidden;
  if (!steps[at].matches("[data-plan]")) return steps[at].querySelector("input, select").focus();
  apply.disabled = true;
  showPlan(form, jobOf(read(form)), !isMade).then((isFine) => {
    apply.disabled = !isFine;
    showWrongStep();
  });
}

// What was refused is on an earlier step: there it can be mended.
function showWrongStep() {
  const wrong = steps.findIndex((step) => step.querySelector('[aria-invalid="true"]'));
  if (wrong < 0) return;
  show(wrong);
  steps[wrong].querySelector('[aria-invalid="true"]').focus();
}

async function make() {
  const fields = read(form);
  if (!isMade) await call("POST", "/collections", fields.collection, crypto.randomUUID());
  isMade = true;
  const { guid } = await call("POST", "/jobs", jobOf(fields), crypto.randomUUID());
  location.assign(`/console/jobs/${encodeURIComponent(guid)}`);
}

forward.addEventListener("click", () => {
  if (fieldsOf(steps[at]).every((field) => field.reportValidity())) show(at + 1);
});
back.addEventListener("click", () => show(at - 1));
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (apply.hidden) return forward.click();
  clearErrors(form);
  apply.disabled = true;
  await make().catch((refused) => {
    showErrors(form, refused);
    showWrongStep();
    apply.disabled = false;
  });
});

// A personal desktop has a disk of its own.
form.addEventListener("change", ({ target }) => {
  if (target.name === "collection.type")
    form.elements["job.disk"].value = target.value === "pooled" ? "linked" : "full";
});

// Alias and names are suggested until somebody writes his own.
const [name, alias, prefix] = ["collection-name", "collection-alias", "job-name-prefix"].map((id) => document.getElementById(id));
const suggest = (field, text) => field.dataset.own ?? (field.value = text);
for (const field of [alias, prefix]) field.addEventListener("input", () => (field.dataset.own = ""));
name.addEventListener("input", () => {
  const plain = name.value.normalize("NFKD").replace(/\p{M}/gu, "").replace(/[^A-Za-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  suggest(alias, plain);
  suggest(prefix, plain ? `${plain.toLowerCase().slice(0, 40)}-` : "");
});
