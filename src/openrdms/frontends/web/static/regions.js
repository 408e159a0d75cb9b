// Regions: elements with an id that the server renders alone, when asked for the page with the
// header X-Part. Filters above a list are forms with data-filters="REGION"; what is typed there is
// in the page's address, so that it can be kept, sent and gone back to.

import { morph } from "./morph.js";

const TYPING = 180; // milliseconds

const underWay = new Map();

/** The region as it is now, at `url`; what was under way for it before is given up. */
export async function refresh(region, url = location.href) {
  underWay.get(region.id)?.abort();
  const ending = new AbortController();
  underWay.set(region.id, ending);
  try {
    const reply = await fetch(url, { headers: { "x-part": region.id }, signal: ending.signal });
    if (reply.redirected) return location.reload(); // signed out
    if (!reply.ok) return;
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    const part = fresh.getElementById(region.id);
    if (part) morph(region, document.adoptNode(part));
    region.dispatchEvent(new CustomEvent("refreshed", { bubbles: true }));
  } catch (error) {
    if (error.name !== "AbortError" && !(error instanceof TypeError)) throw error;
  } finally {
    if (underWay.get(region.id) === ending) underWay.delete(region.id);
  }
}

function addressOf(form) {
  const given = [...new FormData(form)].filter(([, value]) => value !== "");
  const query = new URLSearchParams(given).toString();
  return location.pathname + (query ? `?${query}` : "");
}

function search(form) {
  const address = addressOf(form);
  history.replaceState(null, "", address);
  return refresh(document.getElementById(form.dataset.filters), address);
}

let typing = 0;

document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-filters]");
  if (!form) return;
  clearTimeout(typing);
  typing = setTimeout(search, TYPING, form);
});

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-filters]")) return;
  event.preventDefault();
  clearTimeout(typing);
  search(event.target);
});

// Pages of a list: links inside a region with data-page.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-page]");
  if (!link || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const region = link.closest("[id][data-region]");
  history.pushState(null, "", link.href);
  await refresh(region);
  region.scrollIntoView({ block: "start" });
});

addEventListener("popstate", () => {
  for (const region of document.querySelectorAll("[data-region]")) refresh(region);
});
