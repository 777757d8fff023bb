// node smoke.mjs MODULE.wasm MODEL.pgan VALUES: generates the picture of seed 0 in WebAssembly and compares it with
// VALUES, which the host board wrote.
import { readFileSync } from "node:fs";

// Each side is within 1e-4 of the same network with fp16-rounded weights.
const TOLERANCE = 2e-4;

const [modulePath, modelPath, valuesPath] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(modulePath));
const { memory, reserve, describe, generate, check } = instance.exports;

const file = readFileSync(modelPath);
const model = reserve(file.length);
new Uint8Array(memory.buffer, model, file.length).set(file);

const facts = reserve(5 * 4);
if (describe(model, file.length, facts) !== 0) throw new Error(`${modelPath} is no usable model`);
const [arenaLen, height, width, channels] = new Uint32Array(memory.buffer, facts, 5);

const arena = reserve(arenaLen * 4);
if (generate(model, file.length, arena, arenaLen - 1, 0n) !== 0) throw new Error("an arena too small was accepted");
const address = generate(model, file.length, arena, arenaLen, 0n);
if (address === 0) throw new Error("generate failed");
const values = new Float32Array(memory.buffer, address, height * width * channels);

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
console.log(`wasm: ${values.length} values, largest difference ${largest.toExponential(2)} (limit ${TOLERANCE})`);

const crc32 = reserve(4);
const verdict = check(model, file.length, arena, arenaLen, crc32);
const drawn = new Uint32Array(memory.buffer, crc32, 1)[0].toString(16).padStart(8, "0");
if (verdict !== 0) throw new Error(`exact: ${drawn} is not what the file says`);
console.log(`exact: ${drawn} as the file says`);
