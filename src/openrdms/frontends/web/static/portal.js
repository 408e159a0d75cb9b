// The portal: opens what is clicked. What is not ready yet is waited for, and opened when it is,
// as long as the page is open; also after it was loaded anew.

import "./actions.js";
import "./dialogs.js";
import "./live.js";
import "./screens.js";
import { call } from "./api.js";
import { refresh } from "./regions.js";
import { toast } from "./toasts.js";

const IN_LINE = 10_000; // milliseconds between two questions that keep a place
const ON_ITS_WAY = 2_000; // and while the desktop is being started
const AT_MOST = 500; // however much happens

const region = () => document.getElementById("resources");
const tileOf = (key) => [...region().querySelectorAll(".tile")].find((tile) => tile.dataset.key === key);

// What this page waits for: {key, collection, application}. `words` is why, where the tile does
// not say so by itself; `asking` is the question to the service that is under way.
let wanted = JSON.parse(sessionStorage.getItem("wanted") ?? "null");
let words = "";
let asking = null;
let timer = 0;
let said = "";

function want(something) {
  wanted = something;
  words = "";
  clearTimeout(timer);
  if (wanted) sessionStorage.setItem("wanted", JSON.stringify(wanted));
  else sessionStorage.removeItem("wanted");
  show();
}

function say(text) {
  if (text === said) return;
  said = text;
  document.getElementById("said").textContent = text;
}

/** The tile as it is while one waits; regions that come anew know nothing of that. */
function show() {
  for (const tile of region().querySelectorAll(".tile")) {
    const isWanted = tile.dataset.key === wanted?.key;
    if (isWanted) tile.setAttribute("aria-busy", "true");
    else tile.removeAttribute("aria-busy");
    if (isWanted && words) tile.querySelector("[data-status]").textContent = words;
    if (isWanted) say(`${tile.dataset.title}: ${tile.querySelector("[data-status]").textContent}`);
  }
}

function wordsFor(reason) {
  return document.querySelector(`#reasons [data-code="${CSS.escape(reason)}"]`)?.textContent ?? "";
}

async function ask() {
  clearTimeout(timer);
  if (!wanted || asking) return;
  const { collection, application } = wanted;
  asking = call("POST", "/me/connections", { collection, application });
  try {
    follow(await asking);
  } catch (refused) {
    give(refused);
  } finally {
    asking = null;
  }
}

function follow(answer) {
  if (!wanted) return; // given up meanwhile
  if (answer.display) {
    want(null);
    return location.assign(answer.display.page);
  }
  words = answer.position ? "" : wordsFor(answer.reason);
  timer = setTimeout(ask, answer.position ? IN_LINE : ON_ITS_WAY);
  if (answer.position && tileOf(wanted.key)?.dataset.stage !== "waiting") return refresh(region());
  show();
}

function give(refused) {
  const again = refused.status === 0 || refused.status === 429 || refused.status === 503;
  if (again) timer = setTimeout(ask, IN_LINE);
  else want(null);
  if (refused.message) toast(refused.message, "bad");
  if (!again) refresh(region());
}

async function giveUp(collection) {
  want(null);
  await asking?.catch(() => {}); // it would put him in line again if it came after this
  await call("DELETE", `/me/connections/${encodeURIComponent(collection)}`).catch((refused) => toast(refused.message, "bad"));
  await refresh(region());
}

document.addEventListener("click", (event) => {
  const tile = event.target.closest(".tile");
  if (event.target.closest("[data-give-up]")) return giveUp(tile.dataset.collection);
  const button = event.target.closest("[data-open]");
  if (!button) return;
  const { key, collection, application } = tile.dataset;
  want({ key, collection, application });
  say(button.dataset.opening);
  ask();
});

document.addEventListener("refreshed", (event) => {
  if (event.target !== region()) return;
  show();
  const stage = wanted && tileOf(wanted.key)?.dataset.stage;
  if (stage !== "own" && stage !== "ready") return;
  clearTimeout(timer);
  timer = setTimeout(ask, AT_MOST);
});

// Menus close by Escape, and when something else has the focus.
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && event.target.closest?.(".menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
const menus = () => document.querySelectorAll(".menu[open]");
document.addEventListener("focusin", ({ target }) => {
  for (const menu of menus()) if (!menu.contains(target)) menu.open = false;
});
document.addEventListener("click", ({ target }) => {
  for (const menu of menus()) if (!menu.contains(target) || target.closest("a, button")) menu.open = false;
});

show();
ask();
