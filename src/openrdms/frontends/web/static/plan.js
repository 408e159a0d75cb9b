// What a job would do: <button type="button" data-plan-of="job" data-new> in a form asks for the
// plan of the job in its fields and shows it in the form's [data-plan-shown].

import { fetchPart } from "./api.js";
import { clearErrors, read, showErrors } from "./forms.js";

/** Shows the plan; whether the job would be accepted. `isNew`: its collection is not made yet. */
export async function showPlan(form, job, isNew) {
  clearErrors(form);
  const place = form.querySelector("[data-plan-shown]");
  place.setAttribute("aria-busy", "true");
  try {
    place.replaceChildren(await fetchPart(`/console/collections/plan?new=${isNew}`, job));
    return !place.querySelector('[role="alert"]');
  } catch (refused) {
    place.replaceChildren();
    showErrors(form, refused);
    return false;
  } finally {
    place.removeAttribute("aria-busy");
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-plan-of]");
  if (!button || !button.form.reportValidity()) return;
  const fields = read(button.form);
  showPlan(button.form, button.dataset.planOf ? fields[button.dataset.planOf] : fields, false);
});
