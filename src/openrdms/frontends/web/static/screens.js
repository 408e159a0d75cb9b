// Pictures of screens: <button data-look-again> asks for all those on the page anew.

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-look-again]")) return;
  for (const picture of document.querySelectorAll("img[data-screen]"))
    picture.src = `${picture.src.split("?")[0]}?at=${Date.now()}`;
});

// A desktop whose screen cannot be shown has its drawing instead.
document.addEventListener("error", ({ target }) => target.matches?.("img[data-screen]") && (target.hidden = true), true);
