// Forms as JSON, and what the API refuses shown at the field it names.

const numbers = new Set(["number", "range"]);

// Names with commas between them; none at all is nothing but where data-list="keep" says so.
function linesOf(field) {
  const lines = field.value.split(/[\n,]/).map((line) => line.trim()).filter(Boolean);
  return lines.length || field.dataset.list === "keep" ? lines : null;
}

function valueOf(field) {
  if (field.type === "checkbox") return field.checked;
  if (field.dataset.list !== undefined) return linesOf(field);
  if (field.type === "hidden" && field.dataset.json !== undefined) return JSON.parse(field.value);
  if (field.type === "datetime-local" && field.value) return new Date(field.value).toISOString();
  if (field.value === "" && field.dataset.empty !== "text") return null;
  return numbers.has(field.type) || field.dataset.number !== undefined ? Number(field.value) : field.value;
}

const isIndex = (name) => /^\d+$/.test(name);

/** The form's fields by name; "job.hosts.0.count" is {job: {hosts: [{count}]}}. What is empty is left out. */
export function read(form, keepEmpty = false) {
  const found = {};
  for (const field of form.elements) {
    if (!field.name || field.disabled || (field.type === "radio" && !field.checked)) continue;
    const value = valueOf(field);
    if (value === null && !keepEmpty) continue;
    const path = field.name.split(".");
    const last = path.pop();
    path.reduce((parent, name, at) => (parent[name] ??= isIndex(path[at + 1] ?? last) ? [] : {}), found)[last] = value;
  }
  return found;
}

/** Takes away what `showErrors` has shown. */
export function clearErrors(form) {
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  for (const place of form.querySelectorAll(".field-error")) place.textContent = "";
}

function findField(form, name) {
  const wanted = name.split(".").at(-1).toLowerCase().replaceAll("_", "");
  return [...form.elements].find(
    (field) => field.name?.split(".").at(-1).toLowerCase().replaceAll("_", "") === wanted,
  );
}

function showAt(field, words) {
  const id = `${field.id || field.name}-error`;
  let place = document.getElementById(id);
  if (!place) {
    place = Object.assign(document.createElement("p"), { id, className: "field-error" });
    (field.closest(".field, label") ?? field).append(place);
    field.setAttribute("aria-describedby", id);
  }
  place.textContent = words;
  field.setAttribute("aria-invalid", "true");
}

/** Shows a refusal (api.js) in the form; what no field of it is about is shown on top. */
export function showErrors(form, refused) {
  const placed = refused.fields.map(({ field, reason }) => {
    const found = findField(form, field);
    if (found) showAt(found, reason);
    return found;
  });
  const first = placed.find(Boolean);
  if (first) return first.focus();
  let place = form.querySelector(".field-error.whole");
  if (!place) {
    place = Object.assign(document.createElement("p"), { className: "field-error whole" });
    place.setAttribute("role", "alert");
    form.prepend(place);
  }
  place.textContent = refused.message;
}
