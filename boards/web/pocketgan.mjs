// Runs a .pgan generator in a page or in node: picks the faster of the two modules that this engine accepts.

/**
 * Loads a model.
 *
 * @param {ArrayBuffer | Uint8Array} file bytes of a `.pgan` file
 * @param {(name: string) => BufferSource | Response | Promise<BufferSource | Response>} [module] gives the module of a
 *     name; fetches it from beside this file by default
 * @returns {Promise<Generator>}
 */
export async function load(file, module = (name) => fetch(new URL(name, import.meta.url))) {
  const source = await module(hasRelaxedSimd() ? "pocketgan-relaxed.wasm" : "pocketgan-simd.wasm");
  const { instance } = await (source instanceof Response
    ? WebAssembly.instantiateStreaming(source)
    : WebAssembly.instantiate(source));
  return new Generator(instance.exports, new Uint8Array(file));
}

/** Draws pictures. What it returns is overwritten by the next picture. */
export class Generator {
  #exports;

  /** The exports of an instance that nothing else uses, and the bytes of a file. */
  constructor(exports, file) {
    const { memory, reserve, load } = exports;
    const model = reserve(file.length);
    if (model === 0) throw new Error("no memory for the model");
    new Uint8Array(memory.buffer, model, file.length).set(file);
    const facts = load(model, file.length);
    if (facts === 0) throw new Error("no usable model, one that wants more than a latent vector, or no memory for it");
    const [height, width, channels, latentLength, latent, pixels] = new Uint32Array(memory.buffer, facts, 6);
    this.#exports = exports;
    this.height = height;
    this.width = width;
    this.channels = channels;
    /** To be filled before `run`. */
    this.latent = new Float32Array(memory.buffer, latent, latentLength);
    /** Red, green, blue and alpha of the last picture, as `ImageData` wants them. */
    this.pixels = new Uint8ClampedArray(memory.buffer, pixels, height * width * 4);
  }

  /** Draws the picture of a seed; returns its values, channels last. */
  generate(seed) {
    return this.#values(this.#exports.generate(BigInt(seed)));
  }

  /** Draws the picture of `latent`; returns its values, channels last. */
  run() {
    return this.#values(this.#exports.run());
  }

  /** Draws in exact arithmetic what the file speaks of: whether it is as the file says, and its checksum. */
  check() {
    const holds = this.#exports.check() === 1;
    return { holds, crc32: this.#exports.drawn_crc32() >>> 0 };
  }

  #values(address) {
    return new Float32Array(this.#exports.memory.buffer, address, this.height * this.width * this.channels);
  }
}

/** Whether this engine takes modules with relaxed SIMD. */
export function hasRelaxedSimd() {
  return WebAssembly.validate(PROBE);
}

// (module (func (result v128) i32.const 1 i8x16.splat i32.const 2 i8x16.splat i8x16.relaxed_swizzle))
const PROBE = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253,
  128, 2, 11,
);
