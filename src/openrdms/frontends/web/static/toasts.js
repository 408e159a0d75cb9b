// Short words about what was done, in the corner; errors stay until they are closed.

const SECONDS = 6;

/** Tones: good, bad, busy. `href` leads to what came of it. */
export function toast(words, tone = "good", href = "") {
  const region = document.getElementById("toasts");
  const box = document.createElement("div");
  box.className = "toast";
  box.dataset.tone = tone;
  const text = document.createElement(href ? "a" : "span");
  text.textContent = words;
  if (href) text.href = href;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "×";
  close.setAttribute("aria-label", region.dataset.close);
  close.addEventListener("click", () => box.remove());
  box.append(text, close);
  region.append(box);
  if (tone !== "bad") setTimeout(() => box.remove(), SECONDS * 1000);
}
