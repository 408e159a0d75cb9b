// Dialogs: <button data-opens="ID">, <button data-closes>. `ask` puts one question.

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  if (event.target.closest("[data-closes]")) event.target.closest("dialog").close("");
});

/** Whether the visitor says yes to these words; `label` is what the button says. */
export function ask(words, label) {
  const dialog = document.getElementById("ask");
  dialog.querySelector("p").textContent = words;
  dialog.querySelector("[value=yes]").textContent = label;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((answer) =>
    dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true }),
  );
}
