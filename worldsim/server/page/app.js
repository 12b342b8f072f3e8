// The page: one socket to a session; pictures come down, hands and commands go up.

import { Hands } from "./input.js";
import { Hud, element, percentile } from "./hud.js";

const $ = (id) => document.getElementById(id);
const REFUSED = 4000, ENDED = 4001, LATENCIES = 200;
const asked = new URLSearchParams(location.search);
const token = asked.get("token"), watch = asked.get("watch");
const COMMANDS = { KeyP: "pause", KeyN: "step", KeyR: "record", KeyC: "compare", KeyH: "history_from", KeyX: "restart",
  KeyT: "needle", KeyV: "clip", KeyB: "bookmark", KeyG: "back" };
const TURNS = { BracketLeft: ["history", -1], BracketRight: ["history", 1], Minus: ["budget", -1], Equal: ["budget", 1],
  Comma: ["denoising_steps", -1], Period: ["denoising_steps", 1] };
const HELP = [["W A S D", "walk"], ["arrows, mouse", "look (click a picture to capture the mouse, Esc or Tab lets it go)"],
  ["space, shift, Q or ctrl", "jump, sneak, sprint (Q: a browser closes its tab at ctrl and W)"],
  ["left, right mouse", "attack, use"], ["P, N", "pause, one step"], ["R", "record, stop recording"],
  ["C", "compare with the forgetful twin"], ["H", "the dream's past: its own or true"],
  ["X", "start the dream again from the present true frames"], ["[ ]", "history: how many past frames it may use"],
  ["- =", "budget: how many memory latents"], [", .", "denoising steps"],
  ["T", "needle: turn away, walk off, come back"], ["V", "save the last 20 seconds as a video, to download"],
  ["B, G", "bookmark this moment, go back to it"],
  ["touch", "left half of the pictures walks, right half looks"], ["F1", "this help"]];
const WALKING = 4;
const HINT = matchMedia("(pointer: coarse)").matches ? "left half of the pictures walks, right half looks"
  : "F1 help, click a picture to look with the mouse";

let socket = null, plays = false, state = { dials: {} }, retry = 500, session = watch, key = null;
let newest = null, busy = false, lastNumber = null, dropped = 0, latencies = [], noticed = 0, noticeUntil = 0;
const hud = new Hud();
const hands = new Hands((message) => plays && send(message));

function send(message) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
}

function address(path, more = {}) {
  const query = new URLSearchParams(more);
  if (token) query.set("token", token);
  return `${path}?${query}`;
}

function connect() {
  const seat = watch ? { session: watch, watch: "1" } : session ? { session, key } : {};
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const opened = new WebSocket(`${scheme}//${location.host}${address("/play", seat)}`);
  opened.binaryType = "arraybuffer";
  opened.onmessage = (event) => { if (typeof event.data === "string") hear(JSON.parse(event.data)); else receive(event.data); };
  opened.onclose = (event) => {
    if (socket !== opened) return;
    plays = false;
    hands.release();
    if (event.code === REFUSED || event.code === ENDED) { veil(event.reason || "the session is over"); return; }
    say("the connection was lost; trying again");
    setTimeout(connect, retry);
    retry = Math.min(5000, retry * 1.6);
  };
  socket = opened;
}

function veil(reason) {
  $("why").textContent = reason;
  $("veil").hidden = false;
}

function say(words, seconds = 5) {
  $("status").textContent = words;
  noticeUntil = performance.now() + seconds * 1000;
}

function hear(words) {
  if (words.type === "welcome") {
    retry = 500; lastNumber = null;
    ({ plays, session } = words);
    document.title = words.title;
    if (words.key) {
      key = words.key;
      sessionStorage.setItem("worldsim", JSON.stringify({ session, key }));
    }
    hands.keys = words.keys; hands.last = ""; hands.waiting = [];
    hud.begin(words.keys, words.trace);
    const rows = words.keys.length ? [[words.keys.join(", "), "play"], ...HELP.slice(WALKING)] : HELP;
    $("rows").replaceChildren(...rows.map((row) => {
      const made = element("tr");
      made.append(...row.map((cell) => element("td", cell)));
      return made;
    }));
    if (plays) send({ type: "hidden", hidden: document.hidden });
    say(plays ? HINT : "you look on");
  } else if (words.type === "state") { state = words; showState(); }
}

function showState() {
  hud.mark(state);
  for (const button of document.querySelectorAll("[data-command]")) button.disabled = !plays;
  document.querySelector("[data-command=record]").classList.toggle("on", state.recording);
  document.querySelector("[data-command=pause]").classList.toggle("on", state.paused);
  if (state.notices !== noticed && state.notice) { noticed = state.notices; say(state.notice); }
  const seats = state.spectators === 1 ? "1 page looks on" : `${state.spectators} pages look on`;
  const link = new URL(address("/", { watch: session }), location.href);
  const made = element("a", "address to look on");
  made.href = link.href;
  $("seats").replaceChildren(state.playing ? "" : "nobody plays; ", `${seats}; `, made);
  $("files").replaceChildren(...state.files.map((name) => {
    const link = element("a", `download ${name}`);
    link.href = address(`/files/${session}/${encodeURIComponent(name)}`);
    link.download = name;
    return link;
  }));
  showDials();
}

function showDials() {
  const box = $("dials"), names = Object.keys(state.dials);
  if (box.dataset.names !== names.join()) {
    box.dataset.names = names.join();
    box.replaceChildren(...names.map((name) => {
      const label = element("label"), input = element("input");
      input.type = "range"; input.min = 0; input.step = 1;
      input.addEventListener("input", () => {
        send({ type: "put", dial: name, value: state.dials[name][1][Number(input.value)] });
      });
      input.addEventListener("change", () => input.blur());
      label.append(element("span"), input);
      label.dataset.dial = name;
      return label;
    }));
  }
  for (const label of box.children) {
    const [value, choices] = state.dials[label.dataset.dial], input = label.lastChild;
    label.firstChild.textContent = `${label.dataset.dial.replace("_", " ")}: ${value}`;
    input.max = choices.length - 1;
    input.disabled = !plays;
    if (document.activeElement !== input) input.value = Math.max(0, choices.indexOf(value));
  }
}

// Of frames that come while one is drawn the newest is drawn next.
function receive(data) {
  newest = data;
  if (!busy) drawNext();
}

async function drawNext() {
  busy = true;
  while (newest) {
    const data = newest;
    newest = null;
    const length = new DataView(data).getUint32(0, true);
    const told = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    let at = 4 + length;
    const pictures = new Map(await Promise.all(told.pictures.map(async ([name, size]) => {
      const part = new Blob([new Uint8Array(data, at, size)], { type: "image/png" });
      at += size;
      return [name, await createImageBitmap(part)];
    })));
    hud.draw(told, pictures, state);
    for (const picture of pictures.values()) picture.close();
    if (lastNumber !== null && told.number > lastNumber + 1) dropped += told.number - lastNumber - 1;
    lastNumber = told.number;
    send({ type: "shown", number: told.number });
    // The picture is on the screen once the browser has painted, which is after the next animation frame begins.
    requestAnimationFrame((now) => {
      latencies.push(...hands.answered(told.hands, Math.max(now, performance.now())));
      latencies = latencies.slice(-LATENCIES);
      showPace();
    });
  }
  busy = false;
}

function showPace() {
  const n = latencies.length;
  $("latency").textContent = n ? `key to picture: p50 ${percentile(latencies, 0.5).toFixed(0)} ms, `
    + `p99 ${percentile(latencies, 0.99).toFixed(0)} ms (n=${n})` : "key to picture: press a key";
  $("dropped").textContent = dropped ? `${dropped} pictures dropped to keep the pace` : "no picture dropped";
}

function command(name) { send({ type: "command", name }); }

document.addEventListener("keydown", (event) => {
  if (event.code === "F1") { event.preventDefault(); toggleHelp(); return; }
  if (event.code === "Tab" && document.pointerLockElement) { event.preventDefault(); document.exitPointerLock(); return; }
  if (event.metaKey || event.altKey || !plays || $("help").open) return;
  const word = hands.word(event);
  if (word) {
    event.preventDefault();
    hands.press(event.code, word);  // repeats too: a key held over a lost connection is down again
  } else if (!event.repeat && !event.ctrlKey && COMMANDS[event.code]) command(COMMANDS[event.code]);
  else if (!event.ctrlKey && TURNS[event.code]) {
    const [dial, by] = TURNS[event.code];
    send({ type: "turn", dial, by });
  }
});
document.addEventListener("keyup", (event) => hands.lift(event.code));
window.addEventListener("blur", () => hands.release());
document.addEventListener("visibilitychange", () => {
  if (plays) send({ type: "hidden", hidden: document.hidden });
  if (document.hidden) hands.release();
});
window.addEventListener("beforeunload", (event) => { if (plays && hands.down.size) event.preventDefault(); });

function toggleHelp() { const help = $("help"); if (help.open) help.close(); else help.showModal(); }

$("help-button").addEventListener("click", toggleHelp);
$("close-help").addEventListener("click", toggleHelp);
$("again").addEventListener("click", () => {
  sessionStorage.removeItem("worldsim");
  location.href = address("/");
});
for (const button of document.querySelectorAll("[data-command]")) {
  button.addEventListener("click", () => { command(button.dataset.command); button.blur(); });
}
hands.listen($("worlds"), $("touch"));

function frame(now) {
  if (plays) hands.tick(now);
  if (now > noticeUntil && state.macro) $("status").textContent = `${state.macro} is playing`;
  else if (now > noticeUntil && socket?.readyState === WebSocket.OPEN) {
    $("status").textContent = plays ? HINT : "you look on";
  }
  requestAnimationFrame(frame);
}

if (!watch) ({ session = null, key = null } = JSON.parse(sessionStorage.getItem("worldsim") || "{}"));
connect();
requestAnimationFrame(frame);
