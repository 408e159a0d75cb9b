// A desktop's screen: noVNC over a WebSocket that a ticket opens, and that comes back by itself.

import { Refused, call } from "./api.js";

const ENDED = 4000; // why the service closed the socket (frontends/web/display.py)
const SIGNED_OUT = 4001;
const OFF = 4002;
const FIRST_PAUSE = 500; // milliseconds
const LONGEST_PAUSE = 8000;
const KEY_PAUSE = 40; // a guest's keyboard buffer is small
const SHIFT = 0xffe1;
const KEYS = { "\n": 0xff0d, "\t": 0xff09, "\b": 0xff08 };
const SHIFTED = /[A-Z~!@#$%^&*()_+{}|:"<>?]/;

const root = document.getElementById("display");
// On its way while a ticket is asked for. Browsers keep that a module failed: a new page has it.
const novnc = import(root.dataset.novnc).catch((error) => console.error(error));
const { desktop, mode } = root.dataset;
const own = root.dataset.own === "true";
const find = (id) => document.getElementById(id);
const on = (id, event, act) => find(id)?.addEventListener(event, act);
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

let rfb;
let pause = FIRST_PAUSE;

function show(state, tone, why = "") {
  find("state").textContent = root.dataset[state];
  find("state").dataset.tone = tone;
  find("why").textContent = why;
  find("cover").hidden = !why;
  find("retry").hidden = state === "ended" && own;
  root.dataset.state = state;
}

async function connect() {
  try {
    if (!own && !(await novnc)) return reload(); // its user is told of each ticket
    const leave = await call("POST", `/desktops/${encodeURIComponent(desktop)}/display`, { mode });
    const module = await novnc;
    if (module) open(module.default, leave.ticket);
    else reload(); // the service is there: it has just given a ticket
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) return; // api.js is on its way to the sign-in page
    const temporary = [0, 409, 429, 503].includes(error.status);
    if (temporary) retry(error.status === 409 ? root.dataset.off : root.dataset.lost);
    else show("ended", "bad", error.status === 403 && own ? root.dataset.over : error.message);
  }
}

function open(RFB, ticket) {
  const socket = new WebSocket(`wss://${location.host}/api/v1/display`, ["binary", `ticket.${ticket}`]);
  socket.addEventListener("close", (event) => closed(event.code));
  rfb = new RFB(find("screen"), socket, { shared: true });
  rfb.viewOnly = mode !== "control";
  rfb.background = "transparent";
  fit();
  rfb.addEventListener("connect", () => {
    pause = FIRST_PAUSE;
    show("connected", "good");
    if (!find("text")?.open) rfb.focus({ preventScroll: true });
  });
}

function closed(code) {
  if (code === ENDED) return show("ended", "bad", root.dataset.over);
  if (code === SIGNED_OUT) return location.reload();
  return retry(code === OFF ? root.dataset.off : root.dataset.lost);
}

async function retry(why, act = connect) {
  show("again", "busy", why);
  const waited = pause;
  pause = Math.min(pause * 2, LONGEST_PAUSE);
  await sleep(waited);
  if (root.dataset.state === "again") act();
}

function reload() {
  const [navigation] = performance.getEntriesByType("navigation");
  if (navigation?.type === "reload") pause = LONGEST_PAUSE; // that did not help
  retry(root.dataset.lost, () => location.reload());
}

function press(character) {
  const keysym = KEYS[character] ?? unicode(character.codePointAt(0));
  const shifted = SHIFTED.test(character);
  if (shifted) rfb.sendKey(SHIFT, "ShiftLeft", true);
  rfb.sendKey(keysym, null);
  if (shifted) rfb.sendKey(SHIFT, "ShiftLeft", false);
}

const unicode = (point) => (point < 0x100 ? point : 0x01000000 + point);

async function type(text) {
  for (const character of text.replaceAll("\r\n", "\n")) {
    press(character);
    await sleep(KEY_PAUSE);
  }
}

/** The clipboard of the session in the desktop; undefined when it is out of reach. */
async function clip(method, body) {
  try {
    return await call(method, `/desktops/${encodeURIComponent(desktop)}/clipboard`, body);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    find("text-refused").textContent = error.message || root.dataset.lost;
    return undefined;
  }
}

function leaveText() {
  find("text").close();
  rfb.focus(); // now: what is typed next is for the desktop
}

/** The desktop takes the window's size where it can, and is scaled where not, and on phones. */
function fit() {
  const fits = find("fit").getAttribute("aria-pressed") === "true";
  const isTouched = matchMedia("(pointer: coarse)").matches;
  rfb.scaleViewport = fits;
  rfb.resizeSession = fits && own && !isTouched;
  rfb.clipViewport = rfb.dragViewport = !fits && isTouched;
}

on("three-keys", "click", () => {
  rfb.sendCtrlAltDel();
  rfb.focus();
});
on("fit", "click", ({ target }) => {
  target.setAttribute("aria-pressed", String(target.getAttribute("aria-pressed") !== "true"));
  fit();
});
on("full", "click", async () => {
  if (document.fullscreenElement) return document.exitFullscreen();
  await root.requestFullscreen();
  navigator.keyboard?.lock?.(); // Escape and Alt-Tab go to the desktop where the browser can
  rfb.focus();
});
on("retry", "click", () => {
  pause = FIRST_PAUSE;
  show("connecting", "busy");
  connect();
});
on("clipboard", "click", () => {
  find("text-refused").textContent = "";
  find("text").showModal();
});
on("text", "close", () => rfb.focus());
on("type-text", "click", () => {
  leaveText();
  type(find("text-value").value);
});
on("put-text", "click", async () => {
  const text = find("text-value").value;
  if (await clip("PUT", { text })) leaveText();
});
on("get-text", "click", async () => {
  const copied = await clip("GET");
  if (!copied) return;
  find("text-value").value = copied.text;
  navigator.clipboard?.writeText(copied.text).catch(() => {}); // where the browser lets us
});

// The keyboard of a phone: what it writes is typed, the field itself stays empty.
on("keyboard", "click", () => find("keys").focus());
on("keys", "beforeinput", (event) => {
  event.preventDefault();
  const kinds = { insertLineBreak: "\n", insertParagraph: "\n", deleteContentBackward: "\b" };
  type(kinds[event.inputType] ?? event.data ?? "");
});

// The screen takes every key, so one chord leads out of it.
addEventListener(
  "keydown",
  (event) => {
    if (event.ctrlKey && event.altKey && event.shiftKey && find("screen").contains(event.target)) {
      event.stopPropagation();
      rfb.blur();
      root.querySelector(".tools button:not(.touch)").focus();
    }
  },
  { capture: true },
);

connect();
