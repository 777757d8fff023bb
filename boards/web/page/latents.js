// From what is shown to latent vectors.

import { LIMITS } from "./link.js";

/** Seeds from which the vectors around a picture are drawn, behind those that a page shows otherwise. */
const AROUND = 2 ** 40;

/** The seeds of a state's pictures, if each is simply that of its seed; no latent vector is needed then. */
export function plainSeeds(state, count) {
  const moved = state.at % STATIONS !== 0 || state.directions.some((value) => value !== 0);
  return state.around === undefined && !moved ? range(state.seed, count) : undefined;
}

/** The latent vectors of a state's pictures. Keeps those of the seeds that it asked for last. */
export class Latents {
  #generator;
  #kept = new Map();

  constructor(generator) {
    this.#generator = generator;
  }

  /** Of `count` pictures, moved along `directions`, one after the other. */
  async of(state, count, directions) {
    const length = this.#generator.info.latentLength;
    const page = Math.floor(state.at);
    const part = state.at - page;
    const first = state.around === undefined ? state.seed : AROUND;
    const [from, to] = await Promise.all([page, page + 1].map((page) => this.#seeds(first + (page % STATIONS) * count, count)));
    const latents = part === 0 ? from.slice() : mix(from, to, part);
    if (state.around !== undefined) {
      const centre = await this.#seeds(state.around, 1);
      for (let i = 0; i < count; i++) {
        const place = latents.subarray(i * length, (i + 1) * length);
        // The first is the picture itself.
        place.set(i === 0 ? centre : mix(centre, place, state.spread));
      }
    }
    directions?.forEach((direction, k) => {
      const step = state.directions[k];
      if (step !== 0) latents.forEach((_, i) => (latents[i] += step * direction[i % length]));
    });
    return latents;
  }

  async #seeds(first, count) {
    const key = `${first} ${count}`;
    if (!this.#kept.has(key)) {
      if (this.#kept.size >= KEPT) this.#kept.delete(this.#kept.keys().next().value);
      const latents = this.#generator.latents(range(first, count));
      // What failed is asked for again.
      latents.catch(() => this.#kept.delete(key));
      this.#kept.set(key, latents);
    }
    return this.#kept.get(key);
  }
}

/**
 * On the way from some vectors to others. Of standard normal numbers a plain mean would be too short, and its picture
 * washed out; with these weights they stay standard normal.
 */
function mix(from, to, part) {
  const [a, b] = [Math.cos((part * Math.PI) / 2), Math.sin((part * Math.PI) / 2)];
  return from.map((value, i) => a * value + b * to[i]);
}

function range(first, count) {
  return Array.from({ length: count }, (_, i) => first + i);
}

/** Sets of pictures that a walk leads through, back to the first. */
const STATIONS = LIMITS.at[1];

/** Sets of vectors that are kept. */
const KEPT = 12;
