// What drawing takes: time, flash, memory.

import { $ } from "./status.js";

/** Shows what a file takes. */
export function showSizes({ flashBytes, arenaBytes }) {
  $("fact-flash").textContent = size(flashBytes);
  $("fact-arena").textContent = size(arenaBytes);
}

/** Shows the time of a model's pictures: a running mean, since one sheet takes less than a tick of some clocks. */
export function showTime(model, { pictures, milliseconds }) {
  const each = milliseconds / pictures;
  model.mean = model.mean === undefined ? each : model.mean + 0.2 * (each - model.mean);
  const now = performance.now();
  if (now - model.shownAt < BETWEEN_MS) return;
  model.shownAt = now;
  const { mean } = model;
  $("fact-time").textContent = mean < 1 ? `${(1000 * mean).toFixed(0)} µs` : `${mean.toFixed(1)} ms`;
  $("fact-rate").textContent = Math.round(1000 / Math.max(mean, 1e-3)).toLocaleString("en");
}

function size(bytes) {
  return bytes < 2 ** 20 ? `${Math.round(bytes / 1024)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** Of two times that are shown: digits that change faster cannot be read. */
const BETWEEN_MS = 200;
