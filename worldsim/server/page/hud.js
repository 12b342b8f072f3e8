// What is shown of a tick: the worlds, hands and pace, SSIM traces, retrieval by age, the revisit badge.

const TRACE = 240, FORGOTTEN_BELOW = 0.4, SAME_FROM = 0.9;
const COLOURS = { forgotten: "#e5554f", resembling: "#ebb73f", same: "#58be6e" };
const LINE = "#343942", FAINT = "#9298a3", TEXT = "#e8eaee";
const CAPS = [["W", "forward"], ["A", "left"], ["S", "back"], ["D", "right"], ["space", "jump"], ["shift", "sneak"],
  ["ctrl Q", "sprint"], ["left button", "attack"], ["right button", "use"]];
const $ = (id) => document.getElementById(id);

export function element(tag, words = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = words;
  made.className = className;
  return made;
}

export function band(ssim) { return ssim < FORGOTTEN_BELOW ? "forgotten" : ssim >= SAME_FROM ? "same" : "resembling"; }

export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : NaN;
}

export class Hud {
  constructor() { this.panes = new Map(); this.trace = []; this.keys = []; this.caps = new Map(); }

  begin(keys, trace) {
    this.keys = keys; this.trace = trace; this.caps.clear();
    $("caps").replaceChildren(...(keys.length ? keys.map((k) => [k, k]) : CAPS).map(([cap, word]) => {
      const made = element("span", cap);
      this.caps.set(word, made);
      return made;
    }));
  }

  // Draws a tick: its header and its pictures by name, ImageBitmaps.
  draw(told, pictures, state) {
    this.drawWorlds(told, pictures, state);
    this.drawHands(told);
    for (const view of told.dreams) this.trace.push({ number: told.number, ...view });
    this.trace = this.trace.filter((point) => point.number > told.number - TRACE);
    this.drawTraces(told);
    this.drawBars(told);
    this.drawBadge(told, pictures.get("remembered"));
  }

  drawWorlds(told, pictures, state) {
    for (const [name, pane] of this.panes) if (!pictures.has(name)) { pane.root.remove(); this.panes.delete(name); }
    for (const [name, picture] of pictures) {
      if (name === "remembered") continue;
      const pane = this.panes.get(name) || this.addPane(name);
      paint(pane.canvas, picture);
      const view = told.dreams.find((d) => `dream: ${d.name}` === name);
      if (view) {
        pane.score.textContent = `SSIM ${view.ssim.toFixed(2)} ${view.band}`;
        pane.score.className = view.band;
        pane.note.textContent = view.label;
      } else {
        const pose = told.pose;
        pane.note.textContent = `frame ${told.index}` + (pose ? `, at ${pose.slice(0, 3).map((v) => v.toFixed(1)).join(" ")}, `
          + `looking ${pose[3].toFixed(0)}, ${pose[4].toFixed(0)}` : "");
      }
    }
    this.mark(state);
  }

  mark(state) {
    const pane = this.panes.get("true world");
    if (!pane) return;
    const marks = [];
    if (state.paused) marks.push(element("span", "PAUSE", "mark"));
    if (state.recording) marks.push(element("span", "● REC", "mark rec"));
    pane.score.replaceChildren(...marks);
  }

  addPane(name) {
    const root = element("div", "", "pane"), head = element("header");
    const canvas = element("canvas"), note = element("p", "", "faint"), score = element("span");
    head.append(element("b", name), score);
    root.append(head, canvas, note);
    $("worlds").append(root);
    const pane = { root, canvas, note, score };
    this.panes.set(name, pane);
    return pane;
  }

  drawHands(told) {
    const intent = told.intent || { held: [], yaw: 0, pitch: 0 };
    for (const [word, cap] of this.caps) cap.className = intent.held.includes(word) ? "held" : "";
    $("camera").textContent = this.keys.length ? "" : `turn ${intent.yaw.toFixed(0)}, ${intent.pitch.toFixed(0)} degrees`;
    $("pace").textContent = told.pace === null ? "- frames/s" : `${told.pace.toFixed(1)} frames/s`;
    $("true-ms").textContent = `true ${told.true_ms.toFixed(1)} ms, all ${told.total_ms.toFixed(0)} ms`;
    $("memories").replaceChildren(...told.dreams.map((view) => {
      const made = element("div", "", "memory"), bar = element("progress");
      bar.max = Math.max(1, view.history);
      bar.value = view.memory_frames;
      made.append(element("div", `${view.name}: ${view.cost}`),
        element("div", `memory in use: ${view.memory_frames} frames, ${view.memory_latents} latents`, "faint"), bar);
      return made;
    }));
  }

  drawTraces(told) {
    const [ink, width, height] = sheet($("traces"));
    const each = (height - 10 * (told.dreams.length - 1)) / Math.max(1, told.dreams.length);
    told.dreams.forEach((dream, i) => {
      const top = i * (each + 10), at = (ssim) => top + each - Math.max(0, Math.min(1, ssim)) * each;
      rules(ink, at, 24, width);
      let before = null;
      for (const point of this.trace) {
        if (point.name !== dream.name) continue;
        const x = width - (told.number - point.number) * (width - 24) / TRACE, y = at(point.ssim);
        ink.strokeStyle = COLOURS[point.band];
        if (before) line(ink, before[0], before[1], x, y, 2);
        if (point.retrieved !== null) line(ink, x, top + each - 5, x, top + each, 1);
        before = [x, y];
      }
      ink.fillStyle = TEXT;
      if (told.dreams.length > 1) ink.fillText(dream.name, 28, top + 11);
    });
  }

  drawBars(told) {
    const [ink, width, height] = sheet($("bars"));
    $("setting").textContent = told.scored || "";
    if (!told.dreams.length) return;
    const ranges = Object.keys(told.dreams[0].retrieval), foot = 34 + 13 * told.dreams.length, tall = height - foot - 14;
    const at = (ssim) => 14 + tall - Math.max(0, Math.min(1, ssim)) * tall;
    rules(ink, at, 0, width);
    ranges.forEach((range, g) => {
      const left = g * width / ranges.length + 3, room = width / ranges.length - 8, wide = room / told.dreams.length;
      ink.fillStyle = TEXT;
      ink.fillText(`${range} ago`, left, 14 + tall + 14, room);
      told.dreams.forEach((dream, i) => {
        const { ssim, n, srr } = dream.retrieval[range];
        ink.fillStyle = FAINT;
        const words = `${told.dreams.length > 1 ? `${dream.name} ` : ""}n=${n}${srr === null ? "" : ` SRR ${srr.toFixed(2)}`}`;
        ink.fillText(words, left, 14 + tall + 28 + 13 * i, room);
        if (ssim === null) return;
        ink.fillStyle = ink.strokeStyle = COLOURS[band(ssim)];
        const box = [left + i * wide, at(ssim), wide - 3, 14 + tall - at(ssim)];
        if (i === 0) ink.fillRect(...box); else { ink.lineWidth = 2; ink.strokeRect(...box); }
        ink.fillStyle = TEXT;
        ink.fillText(ssim.toFixed(2), box[0], box[1] - 3, wide);
      });
    });
  }

  drawBadge(told, picture) {
    const revisit = told.revisit;
    $("badge").hidden = !revisit;
    $("no-revisit").hidden = Boolean(revisit);
    $("when").textContent = revisit ? (revisit.ago === 0 ? "now" : `${revisit.ago} frames ago`) : "";
    if (!revisit) return;
    if (picture) paint($("remembered"), picture);
    $("ages").textContent = `seen ${revisit.age} frames before`;
    $("verdicts").replaceChildren(...revisit.dreams.map((view) => {
      const surfaces = view.srr === null ? "" : view.srr ? ", surfaces right" : ", surfaces wrong";
      const verdict = view.retrieved ? "retrieved" : "forgotten";
      return element("p", `${view.name}: SSIM ${view.ssim.toFixed(2)}, ${verdict}${surfaces}`, view.band);
    }));
  }
}

function paint(canvas, picture) {
  if (canvas.width !== picture.width) { canvas.width = picture.width; canvas.height = picture.height; }
  canvas.getContext("2d").drawImage(picture, 0, 0);
}

function sheet(canvas) {
  const scale = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale)) { canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale); }
  const ink = canvas.getContext("2d");
  ink.setTransform(scale, 0, 0, scale, 0, 0);
  ink.clearRect(0, 0, width, height);
  ink.font = "11px system-ui, sans-serif";
  return [ink, width, height];
}

function rules(ink, at, left, width) {
  ink.strokeStyle = LINE; ink.fillStyle = FAINT;
  for (const level of [0, FORGOTTEN_BELOW, SAME_FROM]) {
    line(ink, left, at(level), width, at(level), 1);
    if (left) ink.fillText(level.toFixed(1), 0, at(level) + (level ? 4 : -2));
  }
}

function line(ink, x, y, toX, toY, width) {
  ink.lineWidth = width; ink.beginPath(); ink.moveTo(x, y); ink.lineTo(toX, toY); ink.stroke();
}
