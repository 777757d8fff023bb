// The curve of the losses while it learns.

import { $ } from "./status.js";

/** Most points of a curve; neighbours are averaged beyond that. */
const POINTS = 200;

export class Plot {
  #losses = { discriminator: [], generator: [] };
  #each = 1;
  #sum = { discriminator: 0, generator: 0, count: 0 };

  /** Forgets everything. */
  clear() {
    this.#losses = { discriminator: [], generator: [] };
    [this.#each, this.#sum] = [1, { discriminator: 0, generator: 0, count: 0 }];
    this.#draw();
  }

  /** Adds the losses of some steps. */
  add(steps) {
    for (const { discriminator, generator } of steps) {
      this.#sum.discriminator += discriminator;
      this.#sum.generator += generator;
      if (++this.#sum.count < this.#each) continue;
      for (const name of ["discriminator", "generator"]) this.#losses[name].push(this.#sum[name] / this.#each);
      this.#sum = { discriminator: 0, generator: 0, count: 0 };
      if (this.#losses.generator.length >= 2 * POINTS) this.#halve();
    }
    this.#draw();
  }

  #halve() {
    for (const [name, values] of Object.entries(this.#losses)) {
      this.#losses[name] = values.flatMap((value, i) => (i % 2 === 1 ? [(values[i - 1] + value) / 2] : []));
    }
    this.#each *= 2;
  }

  #draw() {
    const { discriminator, generator } = this.#losses;
    const most = Math.max(...discriminator, ...generator, 1e-6);
    for (const [name, values] of Object.entries(this.#losses)) {
      const points = values.map((value, i) => `${((300 * i) / Math.max(values.length - 1, 1)).toFixed(1)},${(118 - (114 * value) / most).toFixed(1)}`);
      $("losses").querySelector(`.${name}`).setAttribute("points", points.join(" "));
    }
    const last = (values) => values.at(-1)?.toFixed(3);
    const text = generator.length > 0 ? `discriminator ${last(discriminator)}, generator ${last(generator)}` : "nothing was learned yet";
    $("losses").setAttribute("aria-label", `Losses: ${text}`);
  }
}
