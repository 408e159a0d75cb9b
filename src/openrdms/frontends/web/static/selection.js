// Rows that are chosen: input[name=chosen] in a list, #choose-all for those shown, and
// .selection-bar with what can be done with them.

const boxes = () => [...document.querySelectorAll('input[name="chosen"]')];

// What rows were called when they were chosen: they may be gone once there is a result.
const names = new Map();

/** What the rows that are chosen stand for: their values, read as JSON. */
export function chosen() {
  const wanted = boxes().filter((box) => box.checked);
  for (const box of wanted) names.set(box.value, box.dataset.name);
  return wanted.map((box) => JSON.parse(box.value));
}

function count() {
  const all = boxes();
  const number = chosen().length;
  for (const bar of document.querySelectorAll(".selection-bar")) bar.hidden = number === 0;
  for (const place of document.querySelectorAll("[data-count]")) place.textContent = String(number);
  const whole = document.getElementById("choose-all");
  if (!whole) return;
  whole.checked = number > 0 && number === all.length;
  whole.indeterminate = number > 0 && number < all.length;
}

document.addEventListener("change", (event) => {
  if (event.target.id === "choose-all") for (const box of boxes()) box.checked = event.target.checked;
  if (event.target.matches('#choose-all, input[name="chosen"]')) count();
});
document.addEventListener("refreshed", count);
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-choose-none]")) return;
  for (const box of boxes()) box.checked = false;
  count();
});

/** What came of each, in the dialog #results: {"results": [{...the row, error, reason}]}. */
export function showResults(answer, words) {
  const dialog = document.getElementById("results");
  dialog.querySelector("h2").textContent = words;
  dialog.querySelector("ul").replaceChildren(...answer.results.map(resultOf));
  dialog.showModal();
}

function resultOf(result) {
  const line = document.createElement("li");
  const lamp = document.createElement("span");
  lamp.className = "lamp wrap";
  lamp.dataset.tone = result.error ? "bad" : "good";
  lamp.textContent = nameOf(result);
  line.append(lamp);
  if (result.reason)
    line.append(Object.assign(document.createElement("p"), { className: "hint", textContent: result.reason }));
  return line;
}

function nameOf(result) {
  const isIt = (value) => Object.entries(JSON.parse(value)).every(([key, part]) => result[key] === part);
  return names.get([...names.keys()].find(isIt));
}
