// The page: what is shown, and what its controls do with it.

import { Generator, WorkerLost } from "./pocketgan/index.js";
import { hasRelaxedSimd } from "./pocketgan/engine.js";
import { showSizes, showTime } from "./facts.js";
import { LIMITS, MAX_SEED, format, parse, whole } from "./link.js";
import { Latents, plainSeeds } from "./latents.js";
import { Sheet } from "./sheet.js";
import { $, busy, fail, say } from "./status.js";

/** What is shown. */
const state = parse(location.hash);
/** The model, with what belongs to it; none before the first is loaded. */
let shown;
/** Ends the loading of a model; there while one loads. */
let loading;
/** Models that the page brings, and files that were opened. */
const models = [...$("model").options].map(({ value, dataset }) => ({ name: value, file: dataset.file }));
const sheet = new Sheet((index) => explore(index));

/** Loads a model in place of the one that is shown; that stays if the new one is refused. */
async function show(name, source) {
  loading?.abort(SUPERSEDED);
  const abort = (loading = new AbortController());
  try {
    const generator = await busy(
      `Loading ${name}`,
      () => aborted(abort.signal, Generator.load(source, { deadline: DEADLINE_MS, onLost: lost })),
      () => abort.abort(new Error("Loading was cancelled.")),
    );
    // A picture that is too slow for a sheet of them is shown alone.
    const side = SIDES.find((side) => side * side * generator.info.macs <= SHEET_MACS) ?? 1;
    const next = { name, generator, side, latents: new Latents(generator), abort, directions: undefined };
    try {
      await draw(next);
      abort.signal.throwIfAborted();
    } catch (error) {
      generator.close();
      throw error;
    }
    shown?.abort.abort();
    shown?.generator.close();
    shown = next;
  } finally {
    if (loading === abort) loading = undefined;
  }
  state.model = name;
  describe();
  if (learning) learning.use(shown);
  findDirections(shown);
}

/** Draws what is shown. Asked again while it draws, it draws once more at the end. */
async function redraw() {
  if (!shown) return;
  if (redraw.running) {
    redraw.again = true;
    return;
  }
  redraw.running = true;
  $("stage").ariaBusy = true;
  try {
    do {
      redraw.again = false;
      await busy("Drawing", () => draw(shown));
    } while (redraw.again);
  } catch (error) {
    // A worker that has ended says so itself.
    if (!(error instanceof WorkerLost)) fail(error);
  } finally {
    redraw.running = false;
    $("stage").ariaBusy = false;
  }
}

async function draw(model) {
  const { generator, side, latents, directions } = model;
  const count = side * side;
  const now = structuredClone(state);
  const seeds = plainSeeds(now, count);
  const request = { columns: side, label: now.label, exact: now.exact };
  Object.assign(request, seeds ? { seeds } : { latents: await latents.of(now, count, directions) });
  const image = await generator.generate(request);
  // Another may have taken its place.
  if (model.abort.signal.aborted) return;
  const what = now.around === undefined ? (i) => `Seed ${now.seed + i}` : (i) => `${i} of those around seed ${now.around}`;
  sheet.show(image, count, side, what);
  showTime(model, generator.stats);
}

/** The principal directions, which are found while pictures are drawn. */
async function findDirections(model, again = false) {
  const { principalDirections } = await import("./directions.js");
  const { signal } = model.abort;
  try {
    model.directions = await busy("Looking for directions", (onProgress) =>
      principalDirections(model.generator, { count: SLIDERS, signal, onProgress }),
    );
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof WorkerLost)) fail(error);
    // Once more with another worker; what ends that as well would end a third.
    else if (!again) findDirections(model, true);
    return;
  }
  directionInputs().forEach((input, k) => (input.disabled = k >= model.directions.length));
  if (state.directions.some((value) => value !== 0)) redraw();
}

/** Told of a worker that has ended; the next picture starts another. */
function lost(reason) {
  fail(`The worker was lost: ${reason.message}. Another has taken its place.`);
  learning?.lost();
  // Where a picture is what ended it, another try would end the next as well.
  if (!redraw.running) redraw();
}

function explore(index) {
  if (state.around === undefined) {
    state.around = Math.min(state.seed + Math.floor(state.at) * shown.side ** 2 + index, MAX_SEED);
    state.at = 0;
  } else if (index === 0) {
    state.around = undefined;
  }
  changed();
}

/** After the state has changed: controls, address, pictures. */
function changed() {
  reflect();
  remember();
  redraw();
}

/** Shows the state on the controls. */
function reflect() {
  $("seed").value = state.seed;
  $("class").value = state.label;
  directionInputs().forEach((input, k) => setRange(input, state.directions[k]));
  setRange($("spread"), state.spread);
  setRange($("at"), state.at);
  $("exact").checked = state.exact;
  const away = state.around !== undefined;
  $("around").textContent = away ? `Around seed ${state.around}` : "Click a picture to see what lies around it.";
  $("leave").disabled = $("spread").disabled = !away;
}

function setRange(input, value) {
  if (document.activeElement !== input || Number(input.value) !== value) input.value = value;
  const digits = input.id === "spread" || input.id === "at" ? 2 : 1;
  $(`${input.id}-value`).textContent = value.toFixed(digits);
}

/** Keeps the state in the address, not so often that browsers refuse. */
function remember() {
  clearTimeout(remember.timer);
  remember.timer = setTimeout(() => history.replaceState(null, "", format(state)), 250);
}

/** What there is to know of the model. */
function describe() {
  const { info } = shown.generator;
  showSizes(info);
  $("class-row").hidden = info.labelCount === 0;
  if (![...$("model").options].some((option) => option.value === shown.name)) {
    $("model").append(new Option(shown.name, shown.name));
  }
  $("model").value = shown.name;
  directionInputs().forEach((input) => (input.disabled = true));
  $("verdict").textContent = VERDICT;
  reflect();
  remember();
}

function aborted(signal, promise) {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    promise.then(resolve, reject);
  }).catch((error) => {
    promise.then((generator) => generator.close(), () => {});
    throw error;
  });
}

// Controls.

function directionInputs() {
  return [...$("directions").querySelectorAll("input")];
}

function makeDirections() {
  for (let k = 0; k < SLIDERS; k++) {
    const row = document.createElement("div");
    row.className = "slider";
    const id = `direction-${k + 1}`;
    const label = Object.assign(document.createElement("label"), { htmlFor: id, textContent: `Direction ${k + 1}` });
    const [min, max] = LIMITS.direction;
    const input = Object.assign(document.createElement("input"), { type: "range", id, min, max, step: 0.1, value: 0, disabled: true });
    const output = Object.assign(document.createElement("output"), { id: `${id}-value`, htmlFor: id, textContent: "0.0" });
    input.addEventListener("input", () => {
      state.directions[k] = Number(input.value);
      changed();
    });
    row.append(label, input, output);
    $("directions").append(row);
  }
}

function setSeed(seed) {
  state.seed = Math.min(Math.max(seed, 0), MAX_SEED);
  [state.at, state.around] = [0, undefined];
  changed();
}

/** Walks on while the button is pressed. */
function play(on) {
  $("play").setAttribute("aria-pressed", on);
  $("play").textContent = on ? "Pause" : "Play";
  let before;
  const step = (now) => {
    if ($("play").getAttribute("aria-pressed") !== "true") return;
    state.at = (state.at + (before ? (now - before) / WALK_MS : 0)) % LIMITS.at[1];
    before = now;
    setRange($("at"), Math.round(state.at * 100) / 100);
    redraw();
    requestAnimationFrame(step);
  };
  if (on) requestAnimationFrame(step);
  else {
    state.at = Math.round(state.at * 100) / 100;
    changed();
  }
}

function on(id, event, handler) {
  $(id).addEventListener(event, async (...args) => {
    try {
      await handler(...args);
    } catch (error) {
      failed(error);
    }
  });
}

/** What took another's place is no failure. */
function failed(error) {
  if (error !== SUPERSEDED) fail(error);
}

function connect() {
  on("model", "change", () => choose($("model").value));
  on("open", "click", () => $("file").click());
  on("file", "change", async () => {
    const [file] = $("file").files;
    $("file").value = "";
    if (file) await take([file]);
  });
  on("seed", "input", () => {
    const seed = whole($("seed").value, MAX_SEED);
    if (seed !== undefined) setSeed(seed);
  });
  on("seed-back", "click", () => setSeed(state.seed - shown.side ** 2));
  on("seed-on", "click", () => setSeed(state.seed + shown.side ** 2));
  on("shuffle", "click", () => setSeed(crypto.getRandomValues(new Uint32Array(1))[0]));
  on("class", "input", () => {
    state.label = whole($("class").value, LIMITS.label[1]) ?? state.label;
    changed();
  });
  on("reset", "click", () => {
    state.directions.fill(0);
    changed();
  });
  on("leave", "click", () => explore(0));
  on("spread", "input", () => {
    state.spread = Number($("spread").value);
    changed();
  });
  on("play", "click", () => play($("play").getAttribute("aria-pressed") !== "true"));
  on("at", "input", () => {
    state.at = Number($("at").value);
    play(false);
  });
  on("exact", "change", async () => {
    state.exact = $("exact").checked;
    changed();
    if (!state.exact) return;
    const { holds, crc32 } = await busy("Comparing with the file", () => shown.generator.check());
    const drawn = crc32.toString(16).padStart(8, "0");
    $("verdict").textContent = holds ? `${drawn}, as the file says: these are the bytes of every machine.` : `${drawn}, of which the file says nothing.`;
  });
  on("copy", "click", async () => {
    history.replaceState(null, "", format(state));
    if (!navigator.clipboard) throw new Error("There is no clipboard here; the address of the page is the link.");
    await navigator.clipboard.writeText(location.href);
    say(models.some(({ name, file }) => name === state.model && file === String(file)) ? "The link is copied." : "The link is copied; it works where this file is opened first.");
  });
  on("download", "click", async () => save(await sheet.png(), `${state.model}-${state.seed}.png`));
  on("learn-open", "click", () => openLearning($("learn-open").getAttribute("aria-expanded") !== "true"));
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", async () => {
    const before = state.model;
    Object.assign(state, parse(location.hash));
    if (state.model && state.model !== before) await choose(state.model).catch(failed);
    else state.model = before;
    changed();
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    addEventListener(name, (event) => {
      event.preventDefault();
      document.body.classList.toggle("dropping", name === "dragover");
      if (name === "drop") take([...event.dataTransfer.files]).catch(failed);
    });
  }
}

/** Opens files: images and deltas to learn from, anything else as a model. */
async function take(files) {
  const images = files.filter(({ type }) => type.startsWith("image/"));
  const delta = files.find(({ name }) => name.endsWith(".delta"));
  const model = files.find((file) => !images.includes(file) && file !== delta);
  if (model) {
    try {
      const name = model.name.replace(/\.pgan$/, "");
      await show(name, model);
      models.push({ name, file: model });
    } catch (error) {
      if (error === SUPERSEDED) throw error;
      throw new Error(`${model.name}: ${error.message}`, { cause: error });
    }
  }
  if (images.length > 0 || delta) {
    await openLearning();
    if (delta) await learning.takeDelta(delta);
    if (images.length > 0) await learning.takeImages(images);
  }
}

async function choose(name) {
  const model = models.findLast((model) => model.name === name);
  try {
    if (!model) throw new Error(`This page has no model ${name}; open its file.`);
    await show(model.name, model.file);
  } finally {
    if (shown && !loading) $("model").value = shown.name;
  }
}

// Learning is fetched when it is asked for.

let learning;

async function openLearning(open = true) {
  const { Learning } = await busy("Getting ready to learn", () => import("./learn.js"));
  learning ??= new Learning({ redraw, save });
  await learning.open(shown, open);
}

function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** Sliders, as in `index.html`. */
const SLIDERS = 6;
/** Pictures along each edge of the sheet, and multiply-accumulates that a sheet may take. */
const SIDES = [8, 4, 2];
const SHEET_MACS = 4e9;
/** A file from strangers may be slow. */
const DEADLINE_MS = 30000;
/** From one set of pictures to the next on the walk. */
const WALK_MS = 2500;
const SUPERSEDED = new Error("Another model was chosen.");
const VERDICT = $("verdict").textContent;

makeDirections();
reflect();
connect();
try {
  const wanted = models.find(({ name }) => name === state.model);
  if (state.model && !wanted) fail(`This page has no model ${state.model}; open its file.`);
  await show((wanted ?? models[0]).name, (wanted ?? models[0]).file);
  performance.mark("first-picture");
} catch (error) {
  failed(error);
}
navigator.serviceWorker?.register(`sw.js?${hasRelaxedSimd() ? "relaxed" : "simd"}`).catch(() => {});
