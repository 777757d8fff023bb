// node page.mjs SITE TOOLS EXPECTED: the page in a real browser. SITE is what `build.sh` made, TOOLS is where npm has
// installed `package.json`, EXPECTED holds what the native runtime draws: `digits`, `fashion`, `class0` and `class2`, of
// `examples/pixels.rs`. CHROMIUM names another browser.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { access } from "./access.mjs";
import { launch } from "./browser.mjs";
import { drawing } from "./drawing.mjs";
import { faults } from "./faults.mjs";
import { learning } from "./learning.mjs";
import { packaged } from "./package.mjs";
import { serve } from "./server.mjs";

const [folder, tools, expectedFolder] = process.argv.slice(2).map((path) => resolve(path));
const source = fileURLToPath(new URL("..", import.meta.url));
const root = join(source, "../..");
const expected = Object.fromEntries(
  ["digits", "fashion", "class0", "class2"].map((name) => [name, readFileSync(join(expectedFolder, name))]),
);
const models = {
  digits: join(root, "models/mnist-dcgan28/mnist-dcgan28-tail.pgan"),
  conditional: join(root, "tests/fuzz/corpus/load/attention.pgan"),
  pictures: join(root, "tests/fuzz/corpus/load/nests.pgan"),
};
const scratch = mkdtempSync(join(tmpdir(), "pocketgan-page-"));
const server = await serve(folder);
const browser = await launch(tools);
after(async () => {
  await browser.close();
  await server.stop();
  rmSync(scratch, { recursive: true });
});

const optimised = Boolean(process.env.WASM_OPT);
const all = { browser, server, folder, tools, expected, models, scratch, source, optimised };
for (const suite of [drawing, learning, faults, access, packaged]) suite(all);
