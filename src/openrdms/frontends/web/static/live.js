// Live regions: <section id data-region data-live="job desktop" [data-live-key="..."]> is
// refreshed when something of these kinds (that one thing) has changed. One stream of events for
// the page, none while nobody sees it: a browser has few connections to a server. It stays open in
// the background while something on the page has data-stays.

import { refresh } from "./regions.js";

const PAUSE = 500; // milliseconds between two refreshes of a region; the last change always shows
const AGAIN = 2000; // milliseconds until a lost stream is tried again

const STREAM = document.querySelector("[data-events]")?.dataset.events ?? "/api/v1/events";

const due = new Map();
let source = null;
let wasLost = false;

const isSeen = () => !document.hidden || document.querySelector("[data-stays]") !== null;
const regions = () => document.querySelectorAll("[data-live]");
const kinds = () => [...new Set([...regions()].flatMap((region) => region.dataset.live.split(" ")))];

function soon(region) {
  const known = due.get(region.id) ?? { last: 0, timer: 0 };
  due.set(region.id, known);
  if (known.timer) return;
  const wait = Math.max(0, known.last + PAUSE - performance.now());
  known.timer = setTimeout(async () => {
    known.last = performance.now();
    known.timer = 0;
    const there = document.getElementById(region.id);
    if (there) await refresh(there);
  }, wait);
}

function hear(kind, key) {
  for (const region of regions()) {
    const { live, liveKey } = region.dataset;
    if (live.split(" ").includes(kind) && (!liveKey || liveKey === key)) soon(region);
  }
}

function showState(state) {
  for (const lamp of document.querySelectorAll("[data-stream]")) lamp.hidden = lamp.dataset.stream !== state;
}

function connect() {
  const wanted = kinds();
  if (!wanted.length || source || !isSeen()) return;
  const position = document.querySelector('meta[name="position"]')?.content ?? "";
  const after = wasLost ? "" : position; // what came between then and now is not missed
  const query = new URLSearchParams({ kinds: wanted.join(","), ...(after && { after }) });
  source = new EventSource(`${STREAM}?${query}`);
  for (const kind of wanted)
    source.addEventListener(kind, (event) => hear(kind, JSON.parse(event.data).key));
  source.addEventListener("reset", () => regions().forEach(soon));
  source.addEventListener("open", () => {
    showState("live");
    if (wasLost) regions().forEach(soon);
    wasLost = false;
  });
  source.addEventListener("error", lose);
}

function lose() {
  showState("lost");
  wasLost = true;
  if (source?.readyState !== EventSource.CLOSED) return; // it tries by itself
  source = null;
  setTimeout(connect, AGAIN);
}

document.addEventListener("visibilitychange", () => {
  if (isSeen()) return connect();
  source?.close();
  source = null;
  wasLost = true;
});
addEventListener("pagehide", () => source?.close());

connect();
