// Learning in the page, from examples to a delta and back.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { changed, open, pixels, says, shows } from "./browser.mjs";
import { drop } from "./drawing.mjs";

export function learning({ browser, server, scratch }) {
  test("the module that learns comes only when it is asked for", async () => {
    const { page, context, close } = await open(browser, server.url, { serviceWorkers: "block" });
    const asked = [];
    context.on("request", (request) => asked.push(request.url()));
    await page.waitForTimeout(300);
    assert.ok(!asked.some((url) => url.includes("full") || url.includes("learn.js")), asked.join(" "));
    await ready(page);
    assert.ok(asked.some((url) => url.includes("pocketgan-full-")));
    await close();
  });

  test("examples are drawn, taken from files and from the camera, and removed", async () => {
    const { page, close } = await open(browser, server.url);
    await ready(page);
    assert.ok(await page.isDisabled("#learn"));
    await page.click("#pad-add");
    await says(page, "#failed", /Nothing is drawn yet/);
    await stroke(page);
    await page.click("#pad-add");
    await says(page, "#example-count", /^1$/);
    const example = await page.evaluate(() => {
      const canvas = document.querySelector("#examples canvas");
      return [canvas.width, canvas.height, Math.max(...canvas.getContext("2d").getImageData(0, 0, 28, 28).data.filter((_, i) => i % 4 === 0))];
    });
    assert.deepEqual(example, [28, 28, 255]);
    await stroke(page);
    await page.click("#pad-clear");
    assert.ok((await pixels(page, "pad")).every((value, i) => i % 4 === 3 || value === 0));
    const png = await page.evaluate(async () => {
      const canvas = new OffscreenCanvas(90, 60);
      canvas.getContext("2d").fillRect(10, 10, 30, 30);
      return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
    });
    await page.setInputFiles("#images", [
      { name: "a.png", mimeType: "image/png", buffer: Buffer.from(png) },
      { name: "bad.png", mimeType: "image/png", buffer: Buffer.from("no picture") },
    ]);
    await says(page, "#example-count", /^2$/);
    await says(page, "#failed", /bad\.png/);
    await drop(page, png, "dropped.png", "image/png");
    await says(page, "#example-count", /^3$/);
    await page.click("#camera");
    await page.waitForSelector("#camera-view", { state: "visible" });
    await page.waitForFunction(() => document.querySelector("#camera-view").videoWidth > 0);
    await page.click("#pad-add");
    await says(page, "#example-count", /^4$/);
    await page.click("#camera");
    assert.ok(await page.isVisible("#pad"));
    await page.click("[title='Remove example 2']");
    await says(page, "#example-count", /^3$/);
    await close();
  });

  test("it learns, is stopped, undone, saved and opened again", async () => {
    const { page, close } = await open(browser, server.url);
    await ready(page);
    const factory = [await pixels(page), await pixels(page, "after")];
    assert.ok(factory[1].equals(await pixels(page, "before")));
    await page.click("#negatives");
    await says(page, "#example-count", /^16$/);
    await page.fill("#steps", "120");
    await page.click("#learn");
    await says(page, "#learn-said", /^120 steps, \d+ a second$/);
    console.log(`learning, 8 pairs of pictures a step: ${await page.textContent("#learn-said")}`);
    const learned = await changed(page, factory[0]);
    assert.notDeepEqual(await pixels(page, "after"), factory[1]);
    assert.ok(factory[1].equals(await pixels(page, "before")));
    const points = await page.getAttribute("#losses .generator", "points");
    assert.equal(points.split(" ").length, 120);
    assert.match(await page.getAttribute("#losses", "aria-label"), /discriminator \d/);
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#delta-save")]);
    assert.equal(download.suggestedFilename(), "mnist-dcgan28.delta");
    const delta = await readFile(await download.path());
    assert.match(await page.textContent("#delta-said"), new RegExp(delta.length.toLocaleString("en")));

    await page.click("#undo");
    await shows(page, factory[0], "the pictures as the file has them");
    assert.ok(await page.isDisabled("#undo"));
    assert.ok(await page.isDisabled("#delta-save"));
    const file = join(scratch, "again.delta");
    await writeFile(file, delta);
    await page.setInputFiles("#delta", file);
    await shows(page, learned, "the pictures that were learned");
    delta[delta.length >> 1] ^= 1;
    await page.setInputFiles("#delta", { name: "damaged.delta", mimeType: "", buffer: delta });
    await says(page, "#failed", /damaged\.delta: the delta is damaged/);
    await shows(page, learned, "the delta before, which is still good");

    await page.fill("#steps", "10000");
    await page.click("#learn");
    await says(page, "#learn-said", /^Step \d+ of 10000/);
    await page.click("#stop");
    await says(page, "#learn-said", /^\d+ steps, /);
    const steps = Number((await page.textContent("#learn-said")).split(" ")[0]);
    assert.ok(steps > 0 && steps < 10000);
    await changed(page, learned);
    await page.click("#undo");
    await shows(page, learned, "the pictures before the second time");
    await page.click("#undo");
    await shows(page, factory[0], "the pictures as the file has them");
    await close();
  });

  test("every preset learns", async () => {
    const { page, close } = await open(browser, server.url);
    await ready(page);
    await page.click("#negatives");
    await page.fill("#steps", "20");
    let before = await pixels(page);
    for (const preset of ["affine", "head", "all", "tail"]) {
      await page.selectOption("#preset", preset);
      await page.click("#learn");
      await says(page, "#learn-said", /^20 steps, /);
      before = await changed(page, before);
    }
    await close();
  });

  test("a model that cannot learn says why", async () => {
    const { page, close } = await open(browser, server.url, { path: "#model=fashion-mnist-dcgan28" });
    await page.click("#learn-open");
    await says(page, "#learn-refused", /no learning section/);
    assert.ok(!(await page.isVisible("#learn-panel")));
    await page.selectOption("#model", "mnist-dcgan28");
    await page.waitForSelector("#learn-panel", { state: "visible" });
    await close();
  });
}

/** Opens the panel and waits until it can learn. */
export async function ready(page) {
  const blank = await pixels(page, "after");
  await page.click("#learn-open");
  await changed(page, blank, "after");
  await changed(page, blank, "before");
}

/** Draws a line on the pad. */
async function stroke(page) {
  await page.locator("#pad").scrollIntoViewIfNeeded();
  const { x, y, width, height } = await page.locator("#pad").boundingBox();
  await page.mouse.move(x + 0.3 * width, y + 0.2 * height);
  await page.mouse.down();
  await page.mouse.move(x + 0.6 * width, y + 0.5 * height, { steps: 4 });
  await page.mouse.move(x + 0.4 * width, y + 0.8 * height, { steps: 4 });
  await page.mouse.up();
}
