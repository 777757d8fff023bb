import type { Info, Losses, Preset } from "./index.js";

export { Refused } from "./index.js";

export const PRESETS: readonly Preset[];

/** Whether this engine takes modules with relaxed SIMD. */
export function hasRelaxedSimd(): boolean;

/** File name of the module that this engine runs fastest: the small one, or the one that expands weights and learns. */
export function moduleName(full?: boolean): string;

/** A model in this thread, for workers of one's own and for node. After a trap it is of no more use. */
export class Engine {
  constructor(module: WebAssembly.Module);
  /** Whether it learns and takes deltas. */
  readonly full: boolean;
  /** Loads a file in place of the one before, in the same memory. */
  load(file: Uint8Array): Info;
  latents(seeds: (number | bigint)[]): Float32Array;
  draw(request: {
    seeds?: (number | bigint)[];
    latents?: Float32Array;
    labels?: number[];
    columns?: number;
    exact?: boolean;
    learned?: boolean;
    /** Whether to return the pictures' own values as well: `[pictures, height, width, channels]`. */
    values?: boolean;
  }): { pixels: Uint8ClampedArray; width: number; height: number; values?: Float32Array };
  check(): { holds: boolean; crc32: number };
  setDelta(delta?: Uint8Array): void;
  /** Starts to learn from `[height, width, channels]` bytes for each picture; returns the bytes that this takes. */
  startLearning(options: {
    images: Uint8Array;
    preset: Preset;
    batch?: number;
    rate?: number;
    seed?: number | bigint;
  }): number;
  /** Learns one step. */
  learn(): Losses;
  /** The delta of what was learned so far. */
  delta(): Uint8Array;
}
