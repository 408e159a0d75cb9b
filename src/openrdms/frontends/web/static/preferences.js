// Choices that stay with a browser: <button data-prefer="theme" value="dark">. A theme holds at
// once; a language is in the words of the page, which is asked for again.

const YEAR = 31_536_000;

function keep(name, value) {
  document.cookie = `${name}=${value}; path=/; secure; samesite=lax; max-age=${value ? YEAR : 0}`;
}

function choose(button) {
  const { prefer } = button.dataset;
  keep(prefer, button.value);
  if (prefer !== "theme") return location.reload();
  if (button.value) document.documentElement.dataset.theme = button.value;
  else delete document.documentElement.dataset.theme;
  for (const other of document.querySelectorAll(`[data-prefer="${prefer}"]`))
    other.setAttribute("aria-pressed", String(other.value === button.value));
}

// Times are written by the server, in the zone of who reads them.
keep("zone", Intl.DateTimeFormat().resolvedOptions().timeZone);

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-prefer]");
  if (button) choose(button);
});
