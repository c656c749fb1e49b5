"use strict";
// The page: one record in, everything else is drawn from it. Loops are numbered from the oddest, 0.

const data = JSON.parse(document.getElementById("data").textContent);
const loops = data.loops, N = loops.path.length;
const $ = (id) => document.getElementById(id);
const audio = $("audio");
const CHUNK = 40, BINS = 90;

const base = (path) => path.slice(path.lastIndexOf("/") + 1);
const folderOf = (path) => path.slice(0, Math.max(0, path.lastIndexOf("/")));
const plural = (n, one) => n.toLocaleString("en") + " " + one + (n === 1 ? "" : "s");
// The one scale that all detectors share; their scores are for drawing and ordering alone.
const shownP = (p) => "p " + p.toFixed(Math.max(3, -Math.floor(Math.log10(p))));
const seconds = (s) => (s < 60 ? s.toFixed(1) + " s" : Math.floor(s / 60) + ":" + String(Math.floor(s % 60)).padStart(2, "0"));
const hertz = (hz) => (hz < 1000 ? Math.round(hz / 10) * 10 + " Hz" : (hz / 1000).toFixed(hz < 9950 ? 1 : 0) + " kHz");
const text = (value) => document.createTextNode(value);
// A minus as long as a plus, at which no line breaks.
const prose = (value) => value.replace(/(?<![\w.-])-(?=\d)/g, "\u2212");
const sentence = (value) => value.slice(0, 1).toUpperCase() + value.slice(1);
const lowPath = loops.path.map((path) => path.toLowerCase());

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const scores = loops.score, highest = N ? scores[0] : 1, lowest = N ? scores[N - 1] : 0;
// Along the axis, the nine typical tenths are about even and what lies beyond is drawn in, as by a logarithm.
const spread = (N ? scores[Math.floor(N / 10)] - lowest : 0) || highest - lowest || 1;
const along = (score) => Math.asinh((score - lowest) / spread);
const margin = 0.02 * along(highest) || 1;
const low = -margin, high = along(highest) + margin;
const share = (score) => (along(score) - low) / (high - low);
const scoreAt = (part) => lowest + spread * Math.sinh(low + part * (high - low));
const axis = { low: scoreAt(0), high: scoreAt(1) };
const own = data.threshold === null ? axis.high : data.threshold;
const state = { threshold: own, query: "", folder: "", all: false, selected: null, playing: null, visible: [] };
const isOdd = (i) => scores[i] >= state.threshold;
let ink = inks();

// ---- sound -------------------------------------------------------------------------------------------------

function sourceOf(i) {
  if (data.audio[i]) return "data:audio/ogg;base64," + data.audio[i];
  if (data.urls[i]) return data.urls[i];
  return data.root_url + loops.path[i].split("/").map(encodeURIComponent).join("/");
}

function play(i, from = 0) {
  if (state.playing !== i) {
    audio.src = sourceOf(i);
    state.playing = i;
  }
  audio.loop = $("looping").checked;
  if (from || audio.ended) audio.currentTime = from;
  audio.play().catch((problem) => {
    if (problem.name === "NotAllowedError") say("Click once anywhere, then the browser lets the page play.");
    else if (problem.name !== "AbortError") say("Cannot play " + base(loops.path[i]) + ": it was moved, or this browser does not know its format.");
  });
}

const toggle = (i) => (state.playing === i && !audio.paused ? audio.pause() : play(i));
let toastTimer = 0;

function say(message) {
  $("toast").textContent = message;
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").hidden = true; }, 5000);
}

function showPlaying() {
  const sounding = audio.paused ? null : String(state.playing);
  for (const button of document.querySelectorAll("[data-play]")) {
    button.setAttribute("aria-pressed", button.dataset.play === sounding);
  }
  $("dock").hidden = state.playing === null;
  if (state.playing !== null) {
    $("dock-name").textContent = loops.path[state.playing];
    $("dock-play").setAttribute("aria-pressed", !audio.paused);
    $("dock-play").setAttribute("aria-label", (audio.paused ? "Play " : "Pause ") + base(loops.path[state.playing]));
  }
  paintMap();
  if (!audio.paused) requestAnimationFrame(follow);
}

function follow() {
  const length = audio.duration || loops.duration_s[state.playing] || 1;
  $("dock-time").textContent = seconds(audio.currentTime) + " of " + seconds(length);
  for (const head of document.querySelectorAll(".playhead")) {
    const mine = head.dataset.loop === String(state.playing);
    head.hidden = !mine;
    if (mine) head.style.left = audio.currentTime / length * 100 + "%";
  }
  if (!audio.paused) requestAnimationFrame(follow);
}

// A long name may break behind what joins its words.
const name = (i) => base(loops.path[i]).split(/(?<=[_\-. ])/).flatMap((part) => [text(part), make("wbr")]);

function playButton(i, className = "play") {
  return make("button", {
    class: className, type: "button", "data-play": i, "aria-pressed": state.playing === i && !audio.paused,
    "aria-label": "Play " + base(loops.path[i]), onclick: () => { select(i, { scroll: false }); toggle(i); },
  });
}

function chip(i, remark) {
  return make("button", {
    class: "chip", type: "button", "data-play": i, "aria-pressed": state.playing === i && !audio.paused,
    title: loops.path[i], "aria-label": "Play " + base(loops.path[i]) + (remark ? ", " + remark : ""), onclick: () => toggle(i),
  }, text(base(loops.path[i])), remark ? make("small", {}, text(remark)) : null);
}

// ---- the list ----------------------------------------------------------------------------------------------

function whereText(detail, duration) {
  if (!detail.curve) return "";
  // What went wrong has said where it can; the curve knows of no click and of few gaps.
  if (!detail.ranges.length) return detail.faults.length ? "" : "No moment of it is odd by itself.";
  const covered = detail.ranges.reduce((sum, [start, end]) => sum + end - start, 0);
  if (covered > 0.85 * duration) return "Odd from beginning to end.";
  const strongest = [...detail.ranges].sort((a, b) => b[4] - a[4]).slice(0, 3).sort((a, b) => a[0] - b[0]);
  const seconds = (start, end) => [...new Set([start.toFixed(1), end.toFixed(1)])].join(" to ") + " s";
  const spans = strongest.map(([start, end, low, high]) => seconds(start, end) + " (" + hertz(low) + " to " + hertz(high) + ")");
  return "Oddest at " + spans.join(", ") + (detail.ranges.length > 3 ? " and " + (detail.ranges.length - 3) + " more" : "") + ".";
}

function whyOf(detail) {
  const sentences = [];
  for (const fault of detail.faults) sentences.push(make("span", { class: "fault" }, text(prose(fault))));
  for (const reason of detail.reasons) if (!detail.faults.includes(reason)) sentences.push(make("span", {}, text(prose(reason))));
  if (!sentences.length) {
    return make("p", { class: "why none" }, text(detail.explained ? "Nothing stands out." : "Without reasons: the scan was asked for none."));
  }
  sentences[0].textContent = sentence(sentences[0].textContent);
  const parts = sentences.flatMap((part, k) => [part, text(k + 1 < sentences.length ? "; " : ".")]);
  return make("p", { class: "why" }, ...parts);
}

function measure(i) {
  return make("p", { class: "measure", title: "p: the share of normal loops that look at least as odd" },
    make("strong", {}, text(shownP(loops.p[i]))), text(seconds(loops.duration_s[i])));
}

function figure(i, detail) {
  const head = make("span", { class: "playhead", "data-loop": i, hidden: "" });
  const wave = make("canvas", { class: "wave", role: "img", "aria-label": "Waveform with the oddness curve. " + whereText(detail, loops.duration_s[i]) });
  const spectrum = make("canvas", { class: "spectrum", role: "img", "aria-label": "Spectrogram with the heat map of oddness" });
  const ticks = make("p", { class: "ticks", "aria-hidden": "true" }, ...[0, 0.25, 0.5, 0.75, 1].map((at) => make("span", {}, text((at * loops.duration_s[i]).toFixed(1) + (at === 1 ? " s" : "")))));
  const box = make("div", { class: "figure", onclick: (event) => {
    const frame = box.getBoundingClientRect();
    select(i, { scroll: false });
    play(i, (event.clientX - frame.left) / frame.width * loops.duration_s[i]);
  } }, wave, spectrum, ticks, head);
  box.draw = () => { drawWave(wave, detail, loops.duration_s[i], ink); drawSpectrum(spectrum, detail, ink); };
  return box;
}

function item(i) {
  const detail = data.details[i], odd = isOdd(i) ? " is-odd" : "", chosen = state.selected === i ? " is-selected" : "";
  const folder = make("span", { class: "folder" }, text(folderOf(loops.path[i])));
  if (!detail) {
    return make("div", { class: "row" + odd + chosen, role: "listitem", "data-loop": i },
      make("span", { class: "rank" }, text(i + 1)), playButton(i),
      make("span", { class: "name", title: loops.path[i] }, text(base(loops.path[i])), folder),
      make("span", { class: "measure" }, text(shownP(loops.p[i]) + " · " + seconds(loops.duration_s[i]))));
  }
  const where = whereText(detail, loops.duration_s[i]);
  const near = detail.neighbours.length
    ? make("div", { class: "near" }, make("span", {}, text("Nearest normal loops")), ...detail.neighbours.map(([j, distance]) => chip(j, distance.toFixed(2))))
    : null;
  return make("article", { class: "card" + odd + chosen, role: "listitem", "data-loop": i, "aria-label": "Rank " + (i + 1) + ": " + base(loops.path[i]) },
    make("span", { class: "rank", "aria-hidden": "true" }, text(i + 1)),
    make("div", {},
      make("header", {}, playButton(i), make("div", { class: "title" }, make("h3", { "data-rank": i + 1 }, ...name(i)), folder), measure(i)),
      whyOf(detail), where ? make("p", { class: "where" }, text(where)) : null, figure(i, detail), near));
}

// Only the chunks near the screen hold cards; the others keep their height and nothing else.
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) (isIntersecting ? fill : drain)(target);
}, { rootMargin: "900px 0px" });

function fill(chunk) {
  if (chunk.childElementCount) return;
  chunk.append(...chunk.numbers.map(item));
  chunk.style.minHeight = "";
  chunk.querySelectorAll(".figure").forEach((box) => box.draw());
}

function drain(chunk) {
  if (!chunk.childElementCount || chunk.contains(document.activeElement)) return;
  chunk.style.minHeight = chunk.offsetHeight + "px";
  chunk.replaceChildren();
}

function refreshList() {
  const query = state.query.trim().toLowerCase();
  state.visible = [];
  for (let i = 0; i < N; i++) {
    if (!state.all && !isOdd(i)) break;
    if (query && !lowPath[i].includes(query)) continue;
    if (state.folder && folderOf(loops.path[i]) !== state.folder) continue;
    state.visible.push(i);
  }
  watcher.disconnect();
  const list = $("list"), chunks = [];
  for (let start = 0; start < state.visible.length;) {
    // Cards are tall and rows are low: a chunk is one or the other.
    const hasDetail = state.visible[start] in data.details;
    let end = start;
    while (end < state.visible.length && end - start < (hasDetail ? 4 : CHUNK) && state.visible[end] in data.details === hasDetail) end++;
    const chunk = make("div", { role: "presentation" });
    chunk.numbers = state.visible.slice(start, end);
    chunk.style.minHeight = (end - start) * (hasDetail ? 440 : 49) + "px";
    chunks.push(chunk);
    start = end;
  }
  list.replaceChildren(...chunks);
  chunks.slice(0, 2).forEach(fill);
  chunks.forEach((chunk) => watcher.observe(chunk));
  $("legend").hidden = !state.visible.some((i) => data.details[i]?.curve);
  $("list-count").textContent = plural(state.visible.length, "loop") + (state.visible.length > 1 ? ", the oddest first" : "");
  showEmpty(Boolean(query || state.folder));
}

function showEmpty(isSearched) {
  $("empty").hidden = state.visible.length > 0;
  $("empty-all").hidden = state.all;
  $("empty-clear").hidden = !isSearched;
  $("empty-text").textContent = isSearched
    ? "No " + (state.all ? "" : "odd ") + "loop is called that or lies there."
    : "Nothing is odd at this threshold. Drag the line to the left to look further.";
}

function reveal(i) {
  let chunk = [...$("list").children].find((each) => each.numbers.includes(i));
  if (!chunk) {
    Object.assign(state, { all: !isOdd(i) || state.all, query: "", folder: "" });
    $("show-all").checked = state.all;
    $("filter").value = $("folder").value = "";
    refreshList();
    chunk = [...$("list").children].find((each) => each.numbers.includes(i));
  }
  fill(chunk);
  return chunk.querySelector('[data-loop="' + i + '"]');
}

function select(i, { scroll = true, focus = false } = {}) {
  state.selected = i;
  document.querySelectorAll(".is-selected").forEach((each) => each.classList.remove("is-selected"));
  const element = scroll ? reveal(i) : document.querySelector('#list > div > [data-loop="' + i + '"]');
  if (element) {
    element.classList.add("is-selected");
    if (scroll) element.scrollIntoView({ block: "nearest" });
    if (focus) element.querySelector("button").focus({ preventScroll: true });
  }
  paintMap();
}

function step(by) {
  if (!state.visible.length) return;
  const at = state.visible.indexOf(state.selected);
  const next = state.visible[Math.min(state.visible.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
  select(next, { focus: true });
  if (!audio.paused) play(next);
}

// ---- the threshold -----------------------------------------------------------------------------------------

const counts = new Array(BINS).fill(0);
for (const score of scores) counts[Math.min(BINS - 1, Math.floor(share(score) * BINS))]++;

function countOdd() {
  let low = 0, high = N;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (scores[middle] >= state.threshold) low = middle + 1;
    else high = middle;
  }
  return low;
}

function paintHistogram() {
  drawHistogram($("histogram"), counts, countOdd(), ink);
}

const rate = +(100 * data.alpha).toPrecision(3) + " %";

function showThreshold() {
  const n = countOdd(), handle = $("threshold"), p = n ? loops.p[n - 1] : null;
  $("n-odd").textContent = n ? n.toLocaleString("en") : "None";
  $("of-all").textContent = "of " + plural(N, "loop") + (n < 2 ? " is odd" : " are odd");
  const promise = state.threshold === own && data.threshold !== null
    ? "At this threshold, " + rate + " of normal loops would be called odd by mistake."
    : p === null ? "" : "Up to " + (100 * p).toPrecision(2) + " % of normal loops look at least this odd.";
  $("sub").textContent = (N ? promise + " " : "") + (data.threshold === null ? "There are too few loops to promise " + rate + "; drag the line to look further. " : "") + "Nothing was moved or changed.";
  handle.style.left = share(state.threshold) * 100 + "%";
  handle.setAttribute("aria-valuemin", axis.low.toFixed(3));
  handle.setAttribute("aria-valuemax", axis.high.toFixed(3));
  handle.setAttribute("aria-valuenow", state.threshold.toFixed(3));
  const upTo = p === null ? "" : shownP(p) + (n > 1 ? " or less" : "");
  handle.setAttribute("aria-valuetext", [plural(n, "loop") + " odd", upTo].filter(Boolean).join(", "));
  $("threshold-value").textContent = [plural(n, "loop"), upTo].filter(Boolean).join(", ");
  $("threshold-value").style.transform = "translateX(-" + handle.style.left + ")";  // within the strip, at either end
  $("threshold-reset").hidden = state.threshold === own;
  paintHistogram();
}

let pending = false;
function setThreshold(value) {
  state.threshold = Math.min(axis.high, Math.max(axis.low, value));
  showThreshold();
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => { pending = false; refreshList(); paintMap(); });
}

function moveThreshold(by) {
  const n = Math.min(N, Math.max(0, countOdd() + by));
  setThreshold(n === 0 ? axis.high : scores[n - 1]);
}

function dragTo(event) {
  const frame = $("strip").getBoundingClientRect();
  setThreshold(scoreAt((event.clientX - frame.left) / frame.width));
}

$("threshold").addEventListener("pointerdown", (event) => {
  $("threshold").setPointerCapture(event.pointerId);
  $("threshold").focus();
  event.preventDefault();
});
$("threshold").addEventListener("pointermove", (event) => { if ($("threshold").hasPointerCapture(event.pointerId)) dragTo(event); });
$("strip").addEventListener("click", (event) => { if (event.target === $("histogram")) dragTo(event); });
$("threshold").addEventListener("keydown", (event) => {
  const by = { ArrowLeft: 1, ArrowDown: 1, ArrowRight: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
  if (by) moveThreshold(by);
  else if (event.key === "Home") setThreshold(axis.low);
  else if (event.key === "End") setThreshold(axis.high);
  else return;
  event.preventDefault();
  event.stopPropagation();
});
$("threshold-reset").addEventListener("click", () => setThreshold(own));

// ---- the map -----------------------------------------------------------------------------------------------

const points = { x: loops.x, y: loops.y, count: N };
const GRID = 48, cells = new Map();
for (let i = 0; i < N; i++) {
  const key = cellOf(loops.x[i]) * GRID + cellOf(loops.y[i]);
  if (!cells.has(key)) cells.set(key, []);
  cells.get(key).push(i);
}

function cellOf(value) {
  return Math.min(GRID - 1, Math.max(0, Math.floor((value + 1) / 2 * GRID)));
}

function nearest(x, y, reach) {
  const around = Math.ceil(reach / 2 * GRID);
  let best = null, least = reach * reach;
  for (let column = cellOf(x) - around; column <= cellOf(x) + around; column++) {
    for (let row = cellOf(y) - around; row <= cellOf(y) + around; row++) {
      for (const i of cells.get(column * GRID + row) || []) {
        const apart = (loops.x[i] - x) ** 2 + (loops.y[i] - y) ** 2;
        if (apart < least) { least = apart; best = i; }
      }
    }
  }
  return best;
}

function towards(from, dx, dy) {
  let best = null, least = Infinity;
  for (let i = 0; i < N; i++) {
    const x = loops.x[i] - loops.x[from], y = loops.y[i] - loops.y[from];
    const along = x * dx + y * dy, across = Math.abs(x * dy - y * dx);
    if (along > 0.002 && along + 3 * across < least) { least = along + 3 * across; best = i; }
  }
  return best;
}

const shown = (i) => (!state.query || lowPath[i].includes(state.query.trim().toLowerCase())) && (!state.folder || folderOf(loops.path[i]) === state.folder);

function paintMap() {
  drawMap($("map"), points, isOdd, shown, state.selected, audio.paused ? null : state.playing, ink);
}

function under(event) {
  const frame = $("map").getBoundingClientRect();
  return nearest((event.clientX - frame.left) / frame.width * 2 - 1, 1 - (event.clientY - frame.top) / frame.height * 2, 28 / frame.width);
}

let hovered = null, hoverTimer = 0;
function hover(i) {
  if (i === hovered) return;
  hovered = i;
  $("map-tip").hidden = i === null;
  if (i !== null) $("map-tip").textContent = loops.path[i];
  clearTimeout(hoverTimer);
  if (i === null || !$("hover-plays").checked || !navigator.userActivation.hasBeenActive) return;
  hoverTimer = setTimeout(() => play(i), 140);
}

$("map").addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") hover(under(event)); });
$("map").addEventListener("pointerleave", () => hover(null));
$("map").addEventListener("click", (event) => {
  const i = under(event);
  if (i === null) return;
  select(i);
  play(i);
});
$("map").addEventListener("keydown", (event) => {
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  if (way && N) {
    const from = state.selected ?? 0, next = state.selected === null ? 0 : towards(from, ...way);
    if (next !== null) { select(next, { scroll: false }); hover(next); if (!audio.paused) play(next); }
  } else if (event.key === " " && state.selected !== null) toggle(state.selected);
  else return;
  event.preventDefault();
  event.stopPropagation();
});

// ---- the rest of the page ----------------------------------------------------------------------------------

function pairs(list, rows) {
  list.append(...rows.flatMap(([name, value]) => [make("dt", {}, text(name)), make("dd", {}, text(value))]));
}

function fillNotes() {
  $("source").textContent = data.title;
  document.title = data.title + " · loopsphere";
  $("axis-low").textContent = "typical";
  $("axis-high").textContent = "odd";
  $("map-caption").textContent = data.map_caption;
  $("normal").hidden = !data.typical.length && !data.usual.length;
  $("typical").append(...data.typical.map((i) => make("li", {}, chip(i, ""))));
  $("modes-box").hidden = data.modes.length < 2;
  $("modes").append(...data.modes.map((mode) => make("li", {}, text(mode.text + " "), ...mode.loops.map((i) => chip(i, "")))));
  pairs($("ranges"), data.usual.map(([name, range]) => [name, prose(range)]));
  $("ranges-box").hidden = !data.usual.length;
  $("duplicates").hidden = !data.duplicates.length;
  $("duplicate-groups").append(...data.duplicates.map((group) => make("div", { class: "group" }, make("p", {}, text(sentence(group.text))), make("div", { class: "plays" }, ...group.loops.map((i) => chip(i, ""))))));
  $("skipped").hidden = !data.skipped.length;
  pairs($("skipped-files"), data.skipped);
  $("remarks").append(...data.notes.map((note) => make("li", {}, text(note))));
  pairs($("facts"), data.facts);
  const folders = [...new Set(loops.path.map(folderOf))].sort();
  $("folder").append(make("option", { value: "" }, text("all")), ...folders.filter(Boolean).map((name) => make("option", { value: name }, text(name))));
  $("folder").closest("label").hidden = folders.length < 2;
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  $("theme").textContent = name === "dark" ? "Light" : "Dark";
  ink = inks();
  repaint();
}

function repaint() {
  paintHistogram();
  paintMap();
  document.querySelectorAll(".figure").forEach((box) => box.draw());
}

const darkSystem = matchMedia("(prefers-color-scheme: dark)");
darkSystem.addEventListener("change", (event) => setTheme(event.matches ? "dark" : "light"));
$("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
$("help-open").addEventListener("click", () => $("help").showModal());
$("dock-play").addEventListener("click", () => toggle(state.playing));
$("looping").addEventListener("change", () => { audio.loop = $("looping").checked; });
$("filter").addEventListener("input", () => { state.query = $("filter").value; refreshList(); paintMap(); });
$("folder").addEventListener("change", () => { state.folder = $("folder").value; refreshList(); paintMap(); });
$("empty-all").addEventListener("click", () => $("show-all").click());
$("empty-clear").addEventListener("click", () => {
  state.query = state.folder = $("filter").value = $("folder").value = "";
  refreshList();
  paintMap();
});
$("show-all").addEventListener("change", () => { state.all = $("show-all").checked; refreshList(); });
for (const event of ["play", "pause", "ended", "emptied"]) audio.addEventListener(event, showPlaying);
let resizing = 0;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(repaint, 80); });

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const typing = event.target.matches("input[type=search], select");
  if (typing && event.key !== "Escape") return;
  const onButton = event.target.matches("button, input, a");
  if (event.key === "Escape" && typing) event.target.blur();
  else if (event.key === "ArrowDown") step(1);
  else if (event.key === "ArrowUp") step(-1);
  else if (event.key === "ArrowRight" && state.playing !== null) audio.currentTime += 0.5;
  else if (event.key === "ArrowLeft" && state.playing !== null) audio.currentTime = Math.max(0, audio.currentTime - 0.5);
  else if (event.key === " " && !onButton) { if (state.selected === null) step(0); if (state.selected !== null) toggle(state.selected); }
  else if (event.key === "[") moveThreshold(1);
  else if (event.key === "]") moveThreshold(-1);
  else if (event.key === "/") $("filter").focus();
  else if (event.key === "d") $("theme").click();
  else if (event.key === "?") $("help").showModal();
  else return;
  event.preventDefault();
});

fillNotes();
showThreshold();
refreshList();
setTheme(darkSystem.matches ? "dark" : "light");
performance.mark("loopsphere-ready");
