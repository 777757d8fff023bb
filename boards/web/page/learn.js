// The part of the page that learns.

import { WorkerLost } from "./pocketgan/index.js";
import { Examples } from "./examples.js";
import { Plot } from "./plot.js";
import { paint } from "./sheet.js";
import { $, busy, fail, say } from "./status.js";

export class Learning {
  #page;
  #model;
  #examples = new Examples(() => this.#reflect());
  #plot = new Plot();
  /** Aborted to stop; there while it learns. */
  #run;
  /** Deltas before, the newest last; `undefined` is the file as it is. */
  #before = [];

  /** `page` has `redraw`, after the model has changed, and `save`, for files. */
  constructor(page) {
    this.#page = page;
    $("learn").onclick = () => this.#learn();
    $("stop").onclick = () => this.#run?.abort();
    $("undo").onclick = () => this.#change(this.#before.pop()).catch(fail);
    $("delta-save").onclick = () => page.save(new Blob([this.#model.generator.delta]), `${this.#model.name}.delta`);
    $("delta-open").onclick = () => $("delta").click();
    $("delta").onchange = async () => {
      const [file] = $("delta").files;
      $("delta").value = "";
      if (file) await this.takeDelta(file).catch(fail);
    };
    $("negatives").onclick = () => this.#negatives().catch(fail);
  }

  /** Shows the panel for a model, or hides it. */
  async open(model, open = true) {
    $("learn-open").setAttribute("aria-expanded", open);
    $("learn-open").textContent = open ? "Close" : "Show it something";
    $("learn-body").hidden = !open;
    if (open && model && model !== this.#model) await this.use(model);
  }

  /** Goes over to another model. */
  async use(model) {
    this.#run?.abort();
    this.#model = model;
    this.#before = [];
    const { info } = model.generator;
    const can = info.learningBytes > 0;
    $("learn-panel").hidden = !can;
    $("learn-refused").hidden = can;
    $("learn-refused").textContent = can
      ? ""
      : "This file has no learning section, which `trainer export --fp16 --finetune tail` adds. The digits have one.";
    this.#plot.clear();
    this.#examples.use(info);
    $("learn-progress").value = 0;
    $("learn-said").textContent = `A microcontroller learns this in ${Math.ceil(info.learningBytes / 1024)} KiB of memory.`;
    if (!can) return;
    await busy("Getting ready to learn", () => model.generator.prepareToLearn());
    await this.#compare();
  }

  /** The worker was lost, and with it a run; what was learned before is still in use. */
  lost() {
    this.#run = undefined;
    this.#reflect();
  }

  async takeImages(files) {
    if ($("learn-panel").hidden) throw new Error("This model cannot learn from images.");
    await this.#examples.addFiles(files);
  }

  async takeDelta(file) {
    const before = this.#model.generator.delta;
    try {
      await this.#change(file);
    } catch (error) {
      // It was refused, and the one before is still good.
      if (!(error instanceof WorkerLost)) await this.#change(before);
      throw new Error(`${file.name}: ${error.message}`, { cause: error });
    }
    this.#before.push(before);
    this.#reflect();
    say(`Drawing with ${file.name}.`);
  }

  async #learn() {
    const { generator } = this.#model;
    const run = (this.#run = new AbortController());
    const steps = Math.min(Math.max(Math.round(Number($("steps").value)) || 1, 1), MAX_STEPS);
    $("steps").value = steps;
    const before = generator.delta;
    const started = performance.now();
    this.#plot.clear();
    this.#reflect();
    let shown = 0;
    const onProgress = (progress) => {
      if (run !== this.#run) return;
      this.#plot.add(progress.losses);
      $("learn-progress").value = progress.steps / steps;
      const rate = (1000 * progress.steps) / (performance.now() - started);
      $("learn-said").textContent = `Step ${progress.steps} of ${steps}, ${rate.toFixed(0)} a second`;
      if (performance.now() - shown > PREVIEW_MS) {
        shown = performance.now();
        this.#preview(true).catch(() => {});
      }
    };
    try {
      // Another preset moves other tensors, so that it starts from the file.
      if (before && this.#preset !== $("preset").value) await generator.setDelta();
      this.#preset = $("preset").value;
      const options = { steps, preset: this.#preset, seed: this.#before.length, signal: run.signal, onProgress };
      const learned = await generator.learn(this.#examples.images, options);
      this.#before.push(before);
      const rate = (1000 * learned.steps) / (performance.now() - started);
      $("learn-said").textContent = `${learned.steps} steps, ${rate.toFixed(0)} a second`;
    } catch (error) {
      if (!(error instanceof WorkerLost)) {
        await generator.setDelta(before);
        $("learn-said").textContent = `Undone: ${error.message}`;
        fail(`What was learned is undone: ${error.message}`);
      }
    } finally {
      if (this.#run === run) this.#run = undefined;
      this.#reflect();
      await this.#compare().catch(() => {});
      this.#page.redraw();
    }
  }

  /** Goes over to another delta. */
  async #change(delta) {
    await this.#model.generator.setDelta(delta);
    this.#reflect();
    await this.#compare();
    this.#page.redraw();
  }

  /** Pictures as the file has them, and as they are now. */
  async #compare() {
    const { generator } = this.#model;
    const { delta } = generator;
    await this.#preview(false);
    if (!this.#original || this.#original.of !== generator) {
      if (delta) await generator.setDelta();
      this.#original = { of: generator, image: await generator.generate({ seeds: SEEDS, columns: 4 }) };
      if (delta) await generator.setDelta(delta);
    }
    paint($("before"), this.#original.image);
    this.#reflect();
  }

  async #preview(learned) {
    const { generator } = this.#model;
    const image = await generator.generate({ seeds: SEEDS, columns: 4, learned });
    if (this.#model.generator === generator) paint($("after"), image);
  }

  /** Examples of a style that is far from the model's, without a pen. */
  async #negatives() {
    const { generator } = this.#model;
    const { width, height } = generator.info;
    const { data } = await generator.generate({ seeds: Array.from({ length: 16 }, (_, i) => 1000 + i), columns: 1 });
    const bytes = 4 * width * height;
    const negatives = Array.from({ length: 16 }, (_, i) => {
      const part = data.slice(i * bytes, (i + 1) * bytes).map((value, at) => (at % 4 === 3 ? 255 : 255 - value));
      return new ImageData(part, width, height);
    });
    this.#examples.add(negatives);
  }

  /** What can be done now. */
  #reflect() {
    const learns = this.#run !== undefined;
    $("learn").disabled = learns || this.#examples.images.length === 0;
    $("stop").disabled = !learns;
    for (const id of ["preset", "steps", "delta-open"]) $(id).disabled = learns;
    const delta = this.#model?.generator.delta;
    $("undo").disabled = learns || this.#before.length === 0;
    $("delta-save").disabled = learns || !delta;
    $("delta-said").textContent = delta
      ? `What it learned is a delta of ${delta.length.toLocaleString("en")} bytes, bound to this file.`
      : "What it learns is a delta of some kilobytes, bound to this file.";
  }

  /** The preset of the delta in use. */
  #preset;
  /** Pictures as the file has them. */
  #original;
}

/** Pictures that are compared. */
const SEEDS = Array.from({ length: 16 }, (_, i) => i);

/** Between two looks at what was learned so far. */
const PREVIEW_MS = 250;

/** As in `index.html`. */
const MAX_STEPS = 10000;
