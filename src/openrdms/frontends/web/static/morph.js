// Makes a part of the page what a newer version of it is, changing no more than differs: focus,
// what is chosen and where one has scrolled to stay. Children with an id or data-key are matched
// by it, others by their place.

const keyOf = (node) => node.dataset?.key || node.id || "";

// What the visitor has done to these is his.
const OWN = new Set(["open"]);

export function morph(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  const changed = old.dataset.key && old.textContent !== fresh.textContent;
  morphAttributes(old, fresh);
  morphChildren(old, fresh);
  if (changed) flash(old);
}

function morphAttributes(old, fresh) {
  for (const { name } of [...old.attributes])
    if (!fresh.hasAttribute(name) && !OWN.has(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes)
    if (old.getAttribute(name) !== value && !OWN.has(name)) old.setAttribute(name, value);
}

function morphChildren(old, fresh) {
  const wanted = new Set([...fresh.children].map(keyOf));
  for (const child of [...old.children]) if (keyOf(child) && !wanted.has(keyOf(child))) child.remove();
  const known = new Map([...old.children].map((child) => [keyOf(child), child]));
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const match = keyOf(next) ? known.get(keyOf(next)) : isAlike(at, next) ? at : null;
    if (!match || match.nodeName !== next.nodeName) {
      old.insertBefore(next, at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else old.insertBefore(match, at);
    morph(match, next);
  }
  while (at) {
    const following = at.nextSibling;
    at.remove();
    at = following;
  }
}

const isAlike = (at, next) => at && !keyOf(at) && at.nodeName === next.nodeName;

function flash(element) {
  element.classList.add("flash");
  element.addEventListener("animationend", () => element.classList.remove("flash"), { once: true });
}
