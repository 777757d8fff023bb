// A real browser, and what a person does in it.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";

/** Chromium, without a display; `tools` is where npm has installed what `package.json` names. */
export async function launch(tools) {
  const { chromium } = createRequire(join(tools, "package.json"))("playwright-core");
  const args = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
  ];
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
}

/** A page in a profile of its own. What it asks of others, and what goes wrong in it, fails the test at `close`. */
export async function open(browser, url, { path = "", permissions = [], ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, permissions, ...options });
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error.stack)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  context.on("request", (request) => {
    if (!request.url().startsWith(url) && !/^(data|blob):/.test(request.url())) faults.push(`asked ${request.url()}`);
  });
  await page.goto(url + path);
  await drawn(page);
  const close = async () => {
    await context.close();
    assert.deepEqual(faults, []);
  };
  return { page, context, faults, close };
}

/** Waits for the first picture; returns the milliseconds from navigation to it. */
export async function drawn(page) {
  await page.waitForFunction(() => performance.getEntriesByName("first-picture").length > 0);
  return page.evaluate(() => performance.getEntriesByName("first-picture")[0].startTime);
}

/** Waits for the principal directions. */
export function directions(page) {
  return page.waitForSelector("#direction-1:enabled");
}

/** Bytes of a canvas, four a pixel. */
export async function pixels(page, id = "sheet") {
  const text = await page.evaluate((id) => {
    const canvas = document.getElementById(id);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let text = "";
    for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
    return btoa(text);
  }, id);
  return Buffer.from(text, "base64");
}

/** Waits until a canvas shows something else than `before`, and nothing more is drawn; returns that. */
export async function changed(page, before, id = "sheet") {
  return until(async () => {
    if ((await page.evaluate(() => document.querySelector("#stage")?.ariaBusy)) === "true") return undefined;
    const now = await pixels(page, id);
    return now.equals(before) ? undefined : now;
  }, `${id} to change`);
}

/** Waits until a canvas shows something else than `before`, also while the next is being drawn: what never rests is always busy. */
export async function moved(page, before, id = "sheet") {
  return until(async () => {
    const now = await pixels(page, id);
    return now.equals(before) ? undefined : now;
  }, `${id} to move`);
}

/** Waits until a canvas shows `expected`. */
export async function shows(page, expected, what, id = "sheet") {
  await until(async () => ((await pixels(page, id)).equals(expected) ? true : undefined), what);
}

/** Waits until a text is on the page. */
export async function says(page, id, pattern) {
  await until(async () => (pattern.test(await page.textContent(id)) ? true : undefined), `${id} to say ${pattern}`, () =>
    page.textContent(id),
  );
}

async function until(find, what, otherwise) {
  for (let waited = 0; waited < 20000; waited += 20) {
    const found = await find();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited in vain for ${what}; ${otherwise ? await otherwise() : ""}`);
}

/** A sheet of pictures that lie one after the other. */
export function sheetOf(pictures, { first = 0, count = 64, columns = 8, width = 28, height = 28 } = {}) {
  const sheet = Buffer.alloc(4 * count * width * height);
  for (let i = 0; i < count; i++) {
    for (let y = 0; y < height; y++) {
      const from = 4 * ((first + i) * height + y) * width;
      const to = 4 * ((Math.floor(i / columns) * height + y) * columns * width + (i % columns) * width);
      pictures.copy(sheet, to, from, from + 4 * width);
    }
  }
  return sheet;
}
