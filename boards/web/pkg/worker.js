// The worker of index.js: an engine that answers messages one at a time, and learns between them.

import { Engine, Refused, moduleName } from "./engine.js";

/** Folder of the modules. */
let base;
/** An engine without a model, or the promise of one. */
let first;
let engine;
/** A copy of the file, for the module that learns. */
let file;
/** Where a run of learning is. */
let run;

const operations = {
  /** The first thing that a worker is told: where modules are. The first of them comes before it is needed. */
  start(request) {
    base = request.base;
    first = create(request.full);
    first.catch(() => {});
  },

  async load(request) {
    run = undefined;
    file = new Uint8Array(request.file);
    engine = await first;
    try {
      const info = engine.load(file);
      if (engine.full || info.macs < EXPANDED_MACS) return info;
    } catch (error) {
      // Of a good file the small module refuses loop nests.
      if (engine.full || !(error instanceof Refused)) throw error;
    }
    engine = await create(true);
    return engine.load(file);
  },

  /** Fetches the module that learns, if that is still to be done. */
  prepare: () => upgrade(),

  latents: ({ seeds }) => engine.latents(seeds),

  draw(request) {
    const start = performance.now();
    const picture = engine.draw({ ...request, learned: request.learned && run !== undefined });
    return { ...picture, milliseconds: performance.now() - start };
  },

  check: () => engine.check(),

  async setDelta({ delta }) {
    run = undefined;
    if (delta) await upgrade();
    if (engine.full) engine.setDelta(delta);
  },

  /** Learns until it is done or told to stop; returns the delta of what it has learned. */
  async learn({ steps, ...options }, progress) {
    if (run) throw new Refused("it is learning already");
    await upgrade();
    const memoryBytes = engine.startLearning(options);
    const mine = (run = { stop: false });
    try {
      let losses = [];
      let done = 0;
      while (done < steps && !mine.stop) {
        const start = performance.now();
        do {
          const step = engine.learn();
          losses.push(step);
          done = step.steps;
        } while (done < steps && performance.now() - start < SLICE_MS);
        progress({ steps: done, losses, memoryBytes });
        losses = [];
        await messages();
        if (run !== mine) throw new Refused("another model has taken its place");
      }
      return { steps: done, delta: done > 0 ? engine.delta() : undefined };
    } finally {
      if (run === mine) run = undefined;
    }
  },

  stop() {
    if (run) run.stop = true;
  },
};

/** Goes over to the module that learns, with the same file. */
async function upgrade() {
  if (!file) throw new Refused("no model is loaded");
  if (engine.full) return;
  engine = await create(true);
  engine.load(file);
}

async function create(full) {
  const response = await fetch(new URL(moduleName(full), base));
  if (!response.ok) throw new Error(`${moduleName(full)}: ${response.status} ${response.statusText}`);
  return new Engine(await compile(response));
}

/** A server that does not know the type of modules may still give one. */
async function compile(response) {
  if (response.headers.get("content-type")?.startsWith("application/wasm")) return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Lets the messages that have come be answered. */
function messages() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => resolve(port1.close());
    port2.postMessage(0);
  });
}

onmessage = async ({ data: { id, operation, request } }) => {
  try {
    const result = await operations[operation](request ?? {}, (progress) => postMessage({ id, progress }));
    postMessage({ id, result }, result?.pixels ? [result.pixels.buffer] : []);
  } catch (error) {
    // After a trap the module's memory means nothing any more.
    const fatal = error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
    postMessage({ id, error: { message: String(error?.message ?? error), refused: error instanceof Refused, fatal } });
    if (fatal) close();
  }
};

// Held as long as this worker lives: whoever gets the lock after it knows that it has ended, which no event says.
if (navigator.locks) {
  navigator.locks.request(name, () => {
    postMessage({ locked: true });
    return new Promise(() => {});
  });
}

/** Multiply-accumulates of a picture from which on the larger module is worth its download, since it expands weights. */
const EXPANDED_MACS = 2e7;

/** Between two looks at messages while it learns. */
const SLICE_MS = 30;
