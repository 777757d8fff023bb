// The package: its example, its types, and how much a page loads.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cp, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { changed, open as openPage, pixels } from "./browser.mjs";
import { serve } from "./server.mjs";

/** What a page may load before it learns, and when it learns: JavaScript and WebAssembly, gzip. */
const LIMITS = { drawing: 60 * 1024, learning: 150 * 1024 };

/** Scripts that come with the learning panel. */
const LEARNING = ["learn.js", "examples.js", "plot.js"];

export function packaged({ browser, folder, source, scratch, models, tools, optimised }) {
  test("the example of the README runs", async (t) => {
    const readme = await readFile(join(source, "pkg/README.md"), "utf8");
    const [, example] = /```html\n([\s\S]*?)```/.exec(readme);
    assert.ok(example.trim().split("\n").length <= 20, "it has at most 20 lines");
    const site = join(scratch, "example");
    await mkdir(site);
    await cp(join(folder, "pocketgan"), join(site, "pocketgan"), { recursive: true });
    await cp(models.digits, join(site, "digits.pgan"));
    const end = "performance.mark('first-picture');</script>";
    const head = '<!doctype html><title>example</title><link rel="icon" href="data:,">';
    await writeFile(join(site, "index.html"), head + example.replace("</script>", end));
    const server = await serve(site);
    t.after(server.stop);
    const { page, close } = await openPage(browser, server.url);
    const before = await pixels(page);
    assert.equal(before.length, 4 * 112 * 56);
    // Its own pictures, dark on white.
    const files = await page.evaluate(async () => {
      const files = [];
      for (let i = 0; i < 8; i++) {
        const context = Object.assign(new OffscreenCanvas(28, 28).getContext("2d"), { filter: "invert(1)" });
        context.drawImage(document.querySelector("#sheet"), -28 * (i % 4), -28 * Math.floor(i / 4));
        files.push([...new Uint8Array(await (await context.canvas.convertToBlob()).arrayBuffer())]);
      }
      return files;
    });
    const named = files.map((bytes, i) => ({ name: `${i}.png`, mimeType: "image/png", buffer: Buffer.from(bytes) }));
    await page.setInputFiles("#pictures", named);
    const after = await changed(page, before);
    const mean = (pixels) => pixels.reduce((sum, value) => sum + value, 0) / pixels.length;
    assert.ok(mean(after) > mean(before) + 40, `${mean(before)} before, ${mean(after)} after`);
    await close();
  });

  test("the types fit a program", async () => {
    const program = join(scratch, "program.mts");
    const from = JSON.stringify(join(source, "pkg/index.js"));
    await writeFile(
      program,
      `import { Generator, Refused, fit } from ${from};
      import { Engine, moduleName } from ${JSON.stringify(join(source, "pkg/engine.js"))};
      const generator = await Generator.load(new Blob([]), { deadline: 1000, onLost: (reason) => console.log(reason.message) });
      const image: ImageData = await generator.generate({ seeds: [1, 2n], label: 3, exact: true });
      const { delta } = await generator.learn([image, fit(new OffscreenCanvas(1, 1), generator.info)], {
        preset: "affine", signal: AbortSignal.timeout(1), onProgress: ({ losses }) => console.log(losses[0].generator),
      });
      await generator.setDelta(delta);
      if (new Error() instanceof Refused) new Engine(new WebAssembly.Module(new Uint8Array())).load(new Uint8Array()).macs.toFixed();
      // @ts-expect-error: not a preset
      await generator.learn([], { preset: moduleName(true) });
      `,
    );
    const tsc = join(tools, "node_modules/.bin/tsc");
    const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom"];
    try {
      execFileSync(tsc, [...options, program], { encoding: "utf8" });
    } catch (error) {
      assert.fail(error.stdout);
    }
  });

  test("what a page loads is small", async () => {
    const scripts = [];
    for (const place of ["", "pocketgan"]) {
      for (const name of await readdir(join(folder, place))) if (name.endsWith(".js")) scripts.push(join(place, name));
    }
    const size = async (names) => {
      let bytes = 0;
      for (const name of names) bytes += gzipSync(await readFile(join(folder, name)), { level: 9 }).length;
      return bytes;
    };
    const drawing = await size(scripts.filter((name) => !LEARNING.includes(name) && name !== "sw.js"));
    const all = await size(scripts);
    for (const kind of ["simd", "relaxed"]) {
      const sizes = {
        drawing: drawing + (await size([`pocketgan/pocketgan-${kind}.wasm`])),
        learning: all + (await size([`pocketgan/pocketgan-full-${kind}.wasm`])),
      };
      for (const [what, bytes] of Object.entries(sizes)) {
        console.log(`${what}, ${kind}: ${(bytes / 1024).toFixed(1)} KiB gzip, at most ${LIMITS[what] / 1024}`);
        if (optimised) assert.ok(bytes <= LIMITS[what], `${what}, ${kind}: ${bytes}`);
      }
    }
  });
}
