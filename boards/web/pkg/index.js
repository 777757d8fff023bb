// Draws and learns in a worker: what a page imports.

import { Refused } from "./engine.js";
import { Remote, WorkerLost } from "./remote.js";

export { Refused, WorkerLost };

/** A model in a worker. */
export class Generator {
  /** What there is to know of the model. */
  info;
  /** What drawing took last time. */
  stats = { pictures: 0, milliseconds: 0 };
  #remote;
  #file;
  #delta;
  #options;
  /** Until a worker that has taken another's place has its model. */
  #loading;

  constructor(key, options) {
    if (key !== PRIVATE) throw new TypeError("Generator.load makes generators");
    this.#options = options;
  }

  /**
   * Loads a model.
   *
   * @param source an address, or the bytes of a `.pgan` file
   * @param options `full`: take the larger module at once; `base`: folder of the modules; `deadline`: milliseconds that an
   *     answer may take, learning apart; `onLost`: called when the worker has ended
   */
  static async load(source, options = {}) {
    const generator = new Generator(PRIVATE, options);
    // The worker starts while the file comes.
    const remote = generator.#start();
    try {
      generator.#file = await bytesOf(source);
    } catch (error) {
      remote.end("its file cannot be read");
      throw error;
    }
    await generator.#load(remote);
    return generator;
  }

  /** Draws pictures, as the `ImageData` of a sheet with `columns` in a row. */
  async generate({ seed = 0, seeds, latents, label, labels, columns, exact, learned } = {}) {
    if (!latents) seeds ??= [seed];
    labels ??= [label ?? 0];
    const picture = await this.#request("draw", { seeds, latents, labels, columns, exact, learned });
    const pictures = seeds?.length ?? latents.length / this.info.latentLength;
    this.stats = { pictures, milliseconds: picture.milliseconds };
    return new ImageData(picture.pixels, picture.width, picture.height);
  }

  /** The latent vectors of some seeds, one after the other. */
  latents(seeds) {
    return this.#request("latents", { seeds });
  }

  /** Whether exact arithmetic draws what the file says, and the checksum of what it drew. */
  check() {
    return this.#request("check");
  }

  /**
   * Learns from pictures of the model's size, on from the delta in use, and draws with what was learned from then on. Returns
   * how many steps there were, and the delta.
   */
  async learn(images, { steps = 200, preset = "tail", batch, rate, seed, signal, onProgress } = {}) {
    const bytes = pack(images, this.info);
    signal?.throwIfAborted();
    let timer;
    const stop = () => {
      const remote = this.#remote;
      remote.request("stop").catch(() => {});
      // One step of a file from strangers may take for ever.
      timer = setTimeout(() => remote.end("it did not stop"), STOP_MS);
    };
    signal?.addEventListener("abort", stop);
    try {
      const options = { images: bytes, steps, preset, batch, rate, seed };
      const learned = await this.#request("learn", options, { onProgress, deadline: undefined });
      if (learned.delta) await this.setDelta(learned.delta);
      return learned;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  /** Fetches the module that learns before it is needed. */
  prepareToLearn() {
    return this.#request("prepare", undefined, { deadline: undefined });
  }

  /** What was learned, if the model draws with it: the bytes of a delta. */
  get delta() {
    return this.#delta;
  }

  /** Draws from now on with a delta; with none, as the file has it. */
  async setDelta(delta) {
    // Refused, it leaves the model as the file has it.
    this.#delta = undefined;
    const bytes = delta && (await bytesOf(delta));
    await this.#request("setDelta", { delta: bytes });
    this.#delta = bytes;
  }

  /** Ends the worker. */
  close() {
    this.#options = { ...this.#options, onLost: undefined };
    this.#remote.end("it was closed");
  }

  /** A new worker. */
  #start() {
    const { full = false, base = new URL(".", import.meta.url).href } = this.#options;
    const remote = (this.#remote = new Remote({ full, base }));
    remote.lost.addEventListener("abort", () => {
      if (this.info) this.#options.onLost?.(remote.lost.reason);
    });
    return remote;
  }

  /** Gives a worker the model, and what it has learned. */
  async #load(remote) {
    const { deadline } = this.#options;
    try {
      this.info = await remote.request("load", { file: this.#file }, { deadline, refusal: Refused });
      if (this.#delta) await remote.request("setDelta", { delta: this.#delta }, { refusal: Refused });
    } catch (error) {
      remote.end("its model cannot be loaded");
      throw error;
    }
  }

  /** The worker; a new one where the one before has ended. */
  #ready() {
    if (this.#remote.lost.aborted) this.#loading = this.#load(this.#start());
    return this.#loading;
  }

  async #request(operation, request, options) {
    await this.#ready();
    const { deadline } = this.#options;
    return this.#remote.request(operation, request, { refusal: Refused, deadline, ...options });
  }
}

/** A picture of the model's size of anything that can be drawn: its largest middle part with the model's proportions. */
export function fit(source, { width, height }) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const [w, h] = [source.videoWidth ?? source.width, source.videoHeight ?? source.height];
  const scale = Math.max(width / w, height / h);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, (width - w * scale) / 2, (height - h * scale) / 2, w * scale, h * scale);
  return context.getImageData(0, 0, width, height);
}

/** `[height, width, channels]` bytes for each picture; grey is luma, ITU-R BT.601. */
function pack(images, { height, width, channels }) {
  const pixels = height * width;
  const bytes = new Uint8Array(images.length * pixels * channels);
  images.forEach((image, i) => {
    if (image.width !== width || image.height !== height) {
      throw new Refused(`the model's pictures are ${width} x ${height}, not ${image.width} x ${image.height}`);
    }
    for (let p = 0; p < pixels; p++) {
      const [r, g, b] = image.data.subarray(4 * p, 4 * p + 3);
      const at = (i * pixels + p) * channels;
      if (channels === 3) bytes.set([r, g, b], at);
      else bytes.fill(Math.round(0.299 * r + 0.587 * g + 0.114 * b), at, at + channels);
    }
  });
  return bytes;
}

/** The bytes of an address, a file, or what holds bytes already. */
async function bytesOf(source) {
  if (source instanceof ArrayBuffer) return bounded(new Uint8Array(source), source.byteLength);
  if (ArrayBuffer.isView(source)) {
    return bounded(new Uint8Array(source.buffer, source.byteOffset, source.byteLength), source.byteLength);
  }
  if (source instanceof Blob) {
    bounded(source, source.size);
    return new Uint8Array(await source.arrayBuffer());
  }
  const response = source instanceof Response ? source : await fetch(source);
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${response.statusText}`);
  bounded(response, Number(response.headers.get("content-length")));
  return bytesOf(await response.arrayBuffer());
}

function bounded(source, bytes) {
  if (bytes > MAX_BYTES) {
    throw new Refused(`the file has ${Math.round(bytes / 2 ** 20)} MiB, more than the ${MAX_BYTES / 2 ** 20} that are read`);
  }
  return source;
}

/** Of a file: it lies in memory three times while it is loaded. */
const MAX_BYTES = 256 * 2 ** 20;

/** For a worker to stop learning. */
const STOP_MS = 10000;

const PRIVATE = Symbol();
