// The player's hands: keys, mouse, touch and gamepad, gathered into one message whenever something changed.

const WALKER = {
  KeyW: "forward", KeyS: "back", KeyA: "left", KeyD: "right", Space: "jump",
  ShiftLeft: "sneak", ControlLeft: "sprint", KeyQ: "sprint",
  ArrowLeft: "look left", ArrowRight: "look right", ArrowUp: "look up", ArrowDown: "look down",
};
const BUTTONS = { 0: "attack", 2: "use" };
const PAD = { 0: "jump", 1: "sneak", 4: "sprint", 5: "use", 6: "use", 7: "attack", 10: "sprint" };
const DEAD = 0.2, LEAST_MS = 16, TOUCH_SPEED = 2.5, WALK_PIXELS = 18;
const NAMES = {
  Space: "space", Enter: "return", Escape: "escape", Tab: "tab", Backspace: "backspace", Delete: "delete",
  ShiftLeft: "left shift", ShiftRight: "right shift", ControlLeft: "left ctrl", ControlRight: "right ctrl",
  AltLeft: "left alt", AltRight: "right alt", BracketLeft: "[", BracketRight: "]", Minus: "-", Equal: "=", Comma: ",",
  Period: ".", Slash: "/", Backslash: "\\", Semicolon: ";", Quote: "'", Backquote: "`",
};

// The key at a place by the name that key files use, as a US keyboard has it: a, left, space, return.
function keyName(event) {
  return NAMES[event.code] || event.code.replace(/^(Key|Digit|Arrow)/, "").toLowerCase();
}

export class Hands {
  // send(message) sends; shown(number) gives the milliseconds between a message and the picture that answers it.
  constructor(send) {
    this.send = send;
    this.keys = [];           // of a world that says which keys play it
    this.down = new Map();    // what is held, by key, button or finger
    this.tapped = new Set();
    this.mouse = [0, 0];
    this.stick = [0, 0];
    this.number = 0;
    this.waiting = [];        // [number, when] of presses that no picture has answered yet
    this.last = "";
    this.pressed = false;
    this.sentAt = 0;
  }

  word(event) {
    if (this.keys.length) { const name = keyName(event); return this.keys.includes(name) ? name : undefined; }
    return WALKER[event.code];
  }

  press(source, word) {
    if (this.down.get(source) === word) return;
    this.down.set(source, word);
    this.tapped.add(word);
    this.pressed = true;
  }

  lift(source) { this.down.delete(source); }

  release() { this.down.clear(); this.tapped.clear(); this.mouse = [0, 0]; this.stick = [0, 0]; }

  // The messages before `number` are answered by the picture that is now on the screen.
  answered(number, now) {
    const found = [];
    while (this.waiting.length && this.waiting[0][0] <= number) found.push(now - this.waiting.shift()[1]);
    return found;
  }

  tick(now) {
    this.readGamepad();
    const held = [...new Set(this.down.values())].sort();
    const state = JSON.stringify([held, this.stick]);
    const moved = this.mouse[0] || this.mouse[1];
    if (now - this.sentAt < LEAST_MS || (state === this.last && !moved && !this.tapped.size)) return;
    this.number += 1;
    const sent = this.send({ type: "hands", number: this.number, held, tapped: [...this.tapped],
      stick: this.stick, mouse: this.mouse });
    if (sent && this.pressed) this.waiting.push([this.number, now]);
    if (this.waiting.length > 100) this.waiting.shift();
    this.last = state; this.sentAt = now; this.pressed = false;
    this.tapped.clear(); this.mouse = [0, 0];
  }

  readGamepad() {
    const pad = [...(navigator.getGamepads?.() || [])].find((p) => p && p.mapping === "standard");
    const wanted = {};
    if (pad) {
      const axis = (i) => (Math.abs(pad.axes[i]) > DEAD ? pad.axes[i] : 0);
      pad.buttons.forEach((b, i) => { if (PAD[i] && (b.pressed || b.value > 0.5)) wanted[`pad ${i}`] = PAD[i]; });
      if (axis(0) > 0.4) wanted["pad x"] = "right";
      if (axis(0) < -0.4) wanted["pad x"] = "left";
      if (axis(1) > 0.4) wanted["pad y"] = "back";
      if (axis(1) < -0.4) wanted["pad y"] = "forward";
      this.stick = [axis(2), axis(3)].map((v) => Math.round(v * 100) / 100);
      this.hadPad = true;
    } else if (this.hadPad) { this.stick = [0, 0]; this.hadPad = false; }
    for (const source of [...this.down.keys()]) if (`${source}`.startsWith("pad ") && !(source in wanted)) this.lift(source);
    for (const [source, word] of Object.entries(wanted)) this.press(source, word);
  }

  // Mouse: a click captures, then motion looks and buttons act. Touch: left half walks, right half looks.
  listen(worlds, touchBar) {
    worlds.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse") { this.touch(event, worlds); return; }
      if (document.pointerLockElement !== worlds) worlds.requestPointerLock?.();
    });
    document.addEventListener("mouseup", (event) => this.lift(`mouse ${event.button}`));
    document.addEventListener("mousedown", (event) => {
      if (document.pointerLockElement === worlds && BUTTONS[event.button]) {
        this.press(`mouse ${event.button}`, BUTTONS[event.button]);
      }
    });
    document.addEventListener("mousemove", (event) => {
      if (document.pointerLockElement !== worlds) return;
      this.mouse = [this.mouse[0] + event.movementX, this.mouse[1] + event.movementY];
    });
    worlds.addEventListener("contextmenu", (event) => event.preventDefault());
    for (const button of touchBar.querySelectorAll("[data-hold]")) {
      const source = `touch ${button.dataset.hold}`;
      button.addEventListener("pointerdown", () => this.press(source, button.dataset.hold));
      for (const end of ["pointerup", "pointercancel", "pointerleave"]) button.addEventListener(end, () => this.lift(source));
    }
  }

  touch(event, worlds) {
    const id = event.pointerId, box = worlds.getBoundingClientRect();
    const walks = event.clientX < box.left + box.width / 2;
    const from = [event.clientX, event.clientY];
    worlds.setPointerCapture(id);
    const move = (e) => {
      if (e.pointerId !== id) return;
      const right = e.clientX - from[0], downward = e.clientY - from[1];
      if (!walks) {
        this.mouse = [this.mouse[0] + right * TOUCH_SPEED, this.mouse[1] + downward * TOUCH_SPEED];
        from[0] = e.clientX; from[1] = e.clientY;
        return;
      }
      const across = Math.abs(right) > WALK_PIXELS ? (right > 0 ? "right" : "left") : null;
      const along = Math.abs(downward) > WALK_PIXELS ? (downward > 0 ? "back" : "forward") : null;
      for (const [source, word] of [[`touch ${id} x`, across], [`touch ${id} y`, along]]) {
        if (word) this.press(source, word); else this.lift(source);
      }
    };
    const end = (e) => {
      if (e.pointerId !== id) return;
      this.lift(`touch ${id} x`); this.lift(`touch ${id} y`);
      for (const name of ["pointerup", "pointercancel"]) worlds.removeEventListener(name, end);
      worlds.removeEventListener("pointermove", move);
    };
    worlds.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) worlds.addEventListener(name, end);
  }
}
