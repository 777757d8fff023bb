// What goes wrong: files, workers, the network.
import assert from "node:assert/strict";
import { open as openFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { changed, directions, drawn, open, pixels, says, sheetOf, shows } from "./browser.mjs";
import { ready } from "./learning.mjs";
import { serve } from "./server.mjs";

export function faults({ browser, server, folder, expected, models, scratch }) {
  test("bad files are refused with a reason, and what is shown stays", async () => {
    const { page, close } = await open(browser, server.url);
    const before = await pixels(page);
    const good = await readFile(models.digits);
    const flipped = Buffer.from(good);
    flipped[good.length >> 1] ^= 1;
    const bad = [
      ["empty.pgan", Buffer.alloc(0), /empty\.pgan: not a \.pgan file/],
      ["text.pgan", Buffer.from("This is no model at all, whatever its name says."), /text\.pgan: not a \.pgan file/],
      ["cut.pgan", good.subarray(0, 1000), /cut\.pgan: the file has 1000 bytes of/],
      ["flipped.pgan", flipped, /flipped\.pgan: the file is damaged/],
      ["pictures.pgan", await readFile(models.pictures), /pictures\.pgan: the model makes pictures of other pictures/],
    ];
    for (const [name, buffer, pattern] of bad) {
      await page.setInputFiles("#file", { name, mimeType: "", buffer });
      await says(page, "#failed", pattern);
      assert.ok(before.equals(await pixels(page)));
    }
    await page.click("#seed-on");
    await changed(page, before);
    await close();
  });

  test("a huge file is refused before it is read", async () => {
    const path = join(scratch, "huge.pgan");
    const file = await openFile(path, "w");
    await file.truncate(3 * 2 ** 30);
    await file.close();
    const { page, close } = await open(browser, server.url);
    await page.setInputFiles("#file", path);
    await says(page, "#failed", /huge\.pgan: the file has 3072 MiB, more than the 256/);
    await close();
  });

  test("an address that speaks of no model of the page shows another", async () => {
    const { page, close } = await open(browser, server.url, { path: "#model=none&seed=-1&directions=x,9&at=1e9" });
    await says(page, "#failed", /no model none/);
    assert.equal(await page.inputValue("#seed"), "0");
    assert.equal(await page.inputValue("#model"), "mnist-dcgan28");
    await close();
  });

  test("a worker that is killed is replaced", async () => {
    const { page, close } = await open(browser, server.url, { path: "#exact=1" });
    await directions(page);
    assert.equal(page.workers().length, 1);
    await kill(page);
    await says(page, "#failed", /The worker was lost.*Another has taken its place/);
    await page.fill("#seed", "8");
    await shows(page, sheetOf(expected.digits, { first: 8 }), "the pictures of another worker");
    await close();
  });

  test("a worker that is killed while it learns keeps what was learned before", async () => {
    const { page, close } = await open(browser, server.url);
    await ready(page);
    const factory = await pixels(page);
    await page.click("#negatives");
    await page.fill("#steps", "60");
    await page.click("#learn");
    await says(page, "#learn-said", /^60 steps/);
    const learned = await changed(page, factory);
    await page.fill("#steps", "10000");
    await page.click("#learn");
    await says(page, "#learn-said", /^Step \d+ of 10000/);
    await kill(page);
    await says(page, "#failed", /The worker was lost/);
    await page.waitForSelector("#learn:enabled");
    await page.click("#seed-on");
    await changed(page, learned);
    await page.click("#seed-back");
    await shows(page, learned, "what was learned before");
    await close();
  });

  test("a trap ends in a message and a fresh worker", async () => {
    const { page, close } = await open(browser, server.url, { path: "#exact=1" });
    await directions(page);
    // As a fault in the module would.
    await page.workers()[0].evaluate(() => {
      Float32Array.prototype.fill = () => {
        throw new WebAssembly.RuntimeError("unreachable");
      };
    });
    await page.fill("#seed", "8");
    await says(page, "#failed", /The worker was lost: unreachable/);
    await page.fill("#seed", "9");
    await shows(page, sheetOf(expected.digits, { first: 9 }), "the pictures of another worker");
    await close();
  });

  test("the page works without a network after the first visit", async () => {
    const own = await serve(folder);
    const { page, context } = await open(browser, own.url, { path: "#exact=1" });
    const cached = async () => (await navigator.serviceWorker.ready) && (await caches.keys()).length === 1 && navigator.serviceWorker.controller;
    await page.waitForFunction(cached);
    await own.stop();
    await page.reload();
    await drawn(page);
    await shows(page, sheetOf(expected.digits), "the digits");
    await page.selectOption("#model", "fashion-mnist-dcgan28");
    await shows(page, sheetOf(expected.fashion), "clothes");
    await page.selectOption("#model", "mnist-dcgan28");
    await shows(page, sheetOf(expected.digits), "the digits");
    await ready(page);
    await context.close();
  });
}

/** Ends the page's worker as a browser does that is short of memory. */
async function kill(page) {
  // The answer never comes.
  page.workers()[0].evaluate(() => close()).catch(() => {});
}
