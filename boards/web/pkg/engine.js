// The WebAssembly module in this thread: one instance, one model at a time. A worker or node uses it; a page uses index.js.

/** What a file, a delta or an option is refused for. Anything else that is thrown is a fault, and the engine is of no more use. */
export class Refused extends Error {
  name = "Refused";
}

/** Names of what a preset lets move, in the order of their numbers. */
export const PRESETS = ["tail", "affine", "head", "all"];

/** Whether this engine takes modules with relaxed SIMD, whose multiply-adds are one instruction. */
export function hasRelaxedSimd() {
  return WebAssembly.validate(PROBE);
}

/** File name of the module that this engine runs fastest: the small one, or the one that expands weights and learns. */
export function moduleName(full = false) {
  return `pocketgan${full ? "-full" : ""}-${hasRelaxedSimd() ? "relaxed" : "simd"}.wasm`;
}

/** A model in this thread. */
export class Engine {
  #exports;
  #facts;
  #progress;

  /** @param {WebAssembly.Module} module */
  constructor(module) {
    this.#exports = new WebAssembly.Instance(module).exports;
  }

  /** Whether it learns and takes deltas. */
  get full() {
    return "learn" in this.#exports;
  }

  /** Loads a file in place of the one before, in the same memory. Returns what there is to know of it. */
  load(file) {
    this.#facts = this.#progress = undefined;
    this.#copy(file, this.#exports.open(file.length));
    const facts = this.#checked(this.#exports.load());
    const [height, width, channels, latentLength, labelCount, ...rest] = this.#f64(facts, 14);
    const [capacity, inputs, pixels, arenaLength, flashBytes, macs, learningBytes, text, textBytes] = rest;
    this.#facts = { height, width, channels, latentLength, labelCount, capacity, inputs, pixels, arenaLength };
    const metadata = {};
    for (const line of this.#text(text, textBytes).split("\n")) {
      const at = line.indexOf("=");
      if (at > 0) metadata[line.slice(0, at)] = line.slice(at + 1);
    }
    const arenaBytes = 4 * arenaLength;
    return { height, width, channels, latentLength, labelCount, flashBytes, arenaBytes, macs, learningBytes, metadata };
  }

  /** The latent vectors of some seeds, one after the other. */
  latents(seeds) {
    const { latentLength, inputs } = this.#loaded();
    const latents = new Float32Array(seeds.length * latentLength);
    seeds.forEach((seed, i) => {
      this.#exports.seed(0, seedOf(seed));
      latents.set(this.#f32(inputs, latentLength), i * latentLength);
    });
    return latents;
  }

  /**
   * Draws pictures side by side, `columns` in a row: of `seeds`, or of `latents`, one vector after the other. `labels` has
   * one for each picture, or one for all. `learned` takes what a learner has learned so far, `values` adds the pictures' own
   * values to the result.
   */
  draw({ seeds, latents, labels = [0], columns, exact = false, learned = false, values = false }) {
    const { height, width, channels, latentLength, labelCount, capacity, inputs, pixels, arenaLength } = this.#loaded();
    const count = seeds ? seeds.length : latents.length / latentLength;
    if (!(Number.isInteger(count) && count > 0)) throw new Refused(`a latent vector has ${latentLength} values`);
    columns = Math.min(columns ?? Math.ceil(Math.sqrt(count)), count);
    if (!(Number.isInteger(columns) && columns > 0)) throw new Refused("columns is a positive whole number");
    const sheetWidth = columns * width;
    const sheetHeight = Math.ceil(count / columns) * height;
    if (sheetWidth * sheetHeight > MAX_PIXELS) throw new Refused("these are more pixels than a canvas has");
    const sheet = new Uint8ClampedArray(sheetWidth * sheetHeight * 4);
    const len = height * width * channels;
    const all = values ? new Float32Array(count * len) : undefined;
    const row = latentLength + labelCount;
    for (let first = 0; first < count; first += capacity) {
      const some = Math.min(capacity, count - first);
      const places = this.#f32(inputs, some * row);
      for (let i = 0; i < some; i++) {
        if (seeds) this.#exports.seed(i, seedOf(seeds[first + i]));
        else places.set(latents.subarray((first + i) * latentLength, (first + i + 1) * latentLength), i * row);
        places.fill(labels[labels.length > 1 ? first + i : 0], i * row + latentLength, (i + 1) * row);
      }
      const drawn = this.#checked(learned ? this.#exports.preview(some) : this.#exports.draw(some, exact ? 1 : 0));
      for (let i = 0; i < some; i++) {
        all?.set(this.#f32(drawn + 4 * i * arenaLength, len), (first + i) * len);
        const tile = this.#u8(pixels + 4 * i * height * width, 4 * height * width);
        const left = ((first + i) % columns) * width;
        const top = Math.floor((first + i) / columns) * height;
        for (let y = 0; y < height; y++) {
          sheet.set(tile.subarray(4 * y * width, 4 * (y + 1) * width), 4 * ((top + y) * sheetWidth + left));
        }
      }
    }
    return { pixels: sheet, width: sheetWidth, height: sheetHeight, values: all };
  }

  /** Draws in exact arithmetic what the file speaks of: whether it is as the file says, and its checksum. */
  check() {
    this.#loaded();
    const drawn = this.#exports.check();
    return { holds: drawn >= 2 ** 32, crc32: drawn % 2 ** 32 };
  }

  /** Draws from now on with a delta; with none, as the file has it. Ends a learner. */
  setDelta(bytes) {
    this.#loaded();
    this.#progress = undefined;
    const { delta_room: room, use_delta: use } = this.#exports;
    const place = room(bytes?.length ?? 0);
    if (!bytes) return;
    this.#copy(bytes, place);
    this.#checked(use());
  }

  /**
   * Starts to learn, on from the delta in use: `images` holds `[height, width, channels]` bytes for each picture, one after
   * the other. Returns the bytes of memory that this takes.
   */
  startLearning({ images, preset, batch = 8, rate = 1, seed = 0 }) {
    const { height, width, channels } = this.#loaded();
    const count = images.length / (height * width * channels);
    if (!(Number.isInteger(count) && count > 0)) throw new Refused("there is no picture to learn from");
    if (!PRESETS.includes(preset)) throw new Refused(`${preset} is none of ${PRESETS.join(", ")}`);
    this.#progress = undefined;
    this.#copy(images, this.#exports.examples(count));
    this.#progress = this.#checked(this.#exports.start(PRESETS.indexOf(preset), batch, rate, seedOf(seed)));
    return this.#f64(this.#progress, 7)[6];
  }

  /** Learns one step. Throws when a guard stopped it, which undoes everything since the start. */
  learn() {
    this.#checked(this.#exports.learn());
    const [steps, discriminator, generator, real, fake] = this.#f64(this.#progress, 5);
    return { steps, discriminator, generator, real, fake };
  }

  /** The delta of what was learned so far. */
  delta() {
    const len = this.#checked(this.#exports.finish());
    return this.#u8(this.#f64(this.#progress, 6)[5], len).slice();
  }

  #loaded() {
    if (!this.#facts) throw new Refused("no model is loaded");
    return this.#facts;
  }

  #copy(bytes, place) {
    this.#u8(this.#checked(place), bytes.length).set(bytes);
  }

  /** An address or a yes; else says why not. */
  #checked(result) {
    if (result !== 0) return result >>> 0;
    const { error, error_len: len } = this.#exports;
    throw new Refused(this.#text(error(), len()) || "this cannot be done now");
  }

  #text(address, length) {
    return new TextDecoder().decode(this.#u8(address, length));
  }

  // Views are made anew each time, since those of before end when the memory grows.
  #u8(address, length) {
    return new Uint8Array(this.#exports.memory.buffer, address, length);
  }

  #f32(address, length) {
    return new Float32Array(this.#exports.memory.buffer, address, length);
  }

  #f64(address, length) {
    return new Float64Array(this.#exports.memory.buffer, address, length);
  }
}

/** As the module takes it: 64 bits. */
function seedOf(seed) {
  if (typeof seed !== "bigint" && !Number.isSafeInteger(seed)) throw new Refused(`${seed} is no seed`);
  return BigInt.asUintN(64, BigInt(seed));
}

/** Of a sheet of pictures. */
const MAX_PIXELS = 1 << 26;

// (module (func (result v128) i32.const 1 i8x16.splat i32.const 2 i8x16.splat i8x16.relaxed_swizzle))
const PROBE = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253,
  128, 2, 11,
);
