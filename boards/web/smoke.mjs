// node smoke.mjs MODULE.wasm MODEL.pgan VALUES: generates the picture of seed 0 in WebAssembly and compares it with
// VALUES, which the host board wrote.
import { readFileSync } from "node:fs";
import { load } from "./pocketgan.mjs";

// Each side is within 1e-4 of the same network with fp16-rounded weights.
const TOLERANCE = 2e-4;

const [modulePath, modelPath, valuesPath] = process.argv.slice(2);
const module = () => readFileSync(modulePath);

const file = readFileSync(modelPath);
const damaged = Uint8Array.from(file);
damaged[file.length >> 1] ^= 1;
await load(damaged, module).then(
  () => {
    throw new Error("a damaged file was accepted");
  },
  () => {},
);

const generator = await load(file, module);
const values = generator.generate(0);
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

const pixels = Uint8Array.from(generator.pixels);
if (pixels.some((value, i) => i % 4 === 3 && value !== 255)) throw new Error("a pixel is not opaque");
if (new Set(pixels).size < 10) throw new Error("the pixels show nothing");
generator.latent.fill(0.5);
generator.run();
if (pixels.every((value, i) => value === generator.pixels[i])) throw new Error("the latent vector does not matter");
console.log(`wasm: ${values.length} values, largest difference ${largest.toExponential(2)} (limit ${TOLERANCE})`);

const { holds, crc32 } = generator.check();
const drawn = crc32.toString(16).padStart(8, "0");
if (!holds) throw new Error(`exact: ${drawn} is not what the file says`);
console.log(`exact: ${drawn} as the file says`);
