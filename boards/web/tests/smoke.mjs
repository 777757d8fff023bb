// node smoke.mjs MODULE.wasm MODEL.pgan VALUES: generates the picture of seed 0 in WebAssembly and compares it with
// VALUES, which the host board wrote. A module that learns learns a little.
import { readFileSync } from "node:fs";
import { Engine, Refused } from "../pkg/engine.js";

// Each side is within 1e-4 of the same network with fp16-rounded weights.
const TOLERANCE = 2e-4;

// Of the header, see FORMAT.md.
const ARENA_BYTES_AT = 72;

const [modulePath, modelPath, valuesPath] = process.argv.slice(2);
const engine = new Engine(new WebAssembly.Module(readFileSync(modulePath)));

const file = readFileSync(modelPath);
const damaged = Uint8Array.from(file);
damaged[file.length >> 1] ^= 1;
for (const bad of [damaged, file.subarray(0, 100), file.subarray(0, -1), new Uint8Array(0)]) {
  refused(() => engine.load(bad), "a damaged file was accepted");
}

const model = engine.load(file);
const { values, pixels } = engine.draw({ seeds: [0], values: true });
const raw = readFileSync(valuesPath);
const expected = new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
if (expected.length !== values.length) throw new Error(`${values.length} values, the host has ${expected.length}`);
let largest = 0;
for (let i = 0; i < values.length; i++) {
  const difference = Math.abs(values[i] - expected[i]);
  // Written so that NaN fails.
  if (!(difference <= TOLERANCE)) throw new Error(`value ${i}: ${values[i]}, the host has ${expected[i]}`);
  largest = Math.max(largest, difference);
}
if (pixels.some((value, i) => i % 4 === 3 && value !== 255)) throw new Error("a pixel is not opaque");
if (new Set(pixels).size < 10) throw new Error("the pixels show nothing");
console.log(`wasm: ${values.length} values, largest difference ${largest.toExponential(2)} (limit ${TOLERANCE})`);

// More pictures than are drawn at once: the last is that of its own seed, and of its own latent vector.
const seeds = Array.from({ length: 37 }, (_, i) => i);
const len = 4 * model.height * model.width;
const sheet = engine.draw({ seeds, columns: 1, exact: true });
const last = engine.draw({ latents: engine.latents([36]), exact: true });
if (sheet.height !== 37 * model.height) throw new Error("37 pictures are not in one column");
if (!same(sheet.pixels.subarray(36 * len), last.pixels)) throw new Error("a latent vector draws not what its seed draws");
if (same(last.pixels, engine.draw({ seeds: [0], exact: true }).pixels)) throw new Error("the seed does not matter");

const { holds, crc32 } = engine.check();
const drawn = crc32.toString(16).padStart(8, "0");
if (!holds) throw new Error(`exact: ${drawn} is not what the file says`);
console.log(`exact: ${drawn} as the file says`);

// The memory of a model before is used again: without, these would be more than there can be.
for (let i = 0; i < 2000; i++) engine.load(file);

// The largest arena that a file may ask for, in memory of 32 bits: it draws the same, or says that there is no room.
const vast = Buffer.from(file);
vast.writeUInt32LE(1 << 30, ARENA_BYTES_AT);
vast.writeUInt32LE(crc32Of(Buffer.concat([vast.subarray(0, 12), vast.subarray(16)])), 12);
try {
  engine.load(vast);
  if (!same(engine.draw({ seeds: [36], exact: true }).pixels, last.pixels)) throw new Error("a vast arena draws another picture");
} catch (error) {
  if (!(error instanceof Refused)) throw error;
}
engine.load(file);

if (engine.full && model.learningBytes > 0) learn();

function learn() {
  const images = new Uint8Array(8 * model.height * model.width * model.channels);
  images.forEach((_, i) => (images[i] = (i * 37) % 256));
  const factory = engine.draw({ seeds: [5] }).pixels;
  engine.startLearning({ images, preset: "tail" });
  let losses;
  for (let step = 1; step <= 20; step++) {
    losses = engine.learn();
    if (losses.steps !== step || !Object.values(losses).every(Number.isFinite)) throw new Error(`step ${step} says ${JSON.stringify(losses)}`);
  }
  const preview = engine.draw({ seeds: [5], learned: true }).pixels;
  const delta = engine.delta();
  engine.setDelta(delta);
  if (!same(preview, engine.draw({ seeds: [5] }).pixels)) throw new Error("a delta draws not what its learner drew");
  if (same(preview, factory)) throw new Error("nothing was learned");
  if (engine.check().holds) throw new Error("what was learned is as the file says");
  delta[delta.length >> 1] ^= 1;
  refused(() => engine.setDelta(delta), "a damaged delta was accepted");
  engine.setDelta();
  if (!same(factory, engine.draw({ seeds: [5] }).pixels)) throw new Error("without its delta the model is another");
  refused(() => engine.learn(), "it learns without a learner");
  console.log(`learning: a delta of ${delta.length} bytes, loss ${losses.discriminator.toFixed(3)}`);
}

/** CRC-32/ISO-HDLC, bit by bit. */
function crc32Of(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

function refused(action, otherwise) {
  try {
    action();
  } catch (error) {
    if (error instanceof Refused) return;
    throw error;
  }
  throw new Error(otherwise);
}

function same(a, b) {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
