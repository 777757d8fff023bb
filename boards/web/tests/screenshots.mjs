// node screenshots.mjs SITE TOOLS OUT: the pictures of README.md, as small WebP files.
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { changed, directions, launch, open, pixels, says } from "./browser.mjs";
import { ready } from "./learning.mjs";
import { serve } from "./server.mjs";

const [site, tools, out] = process.argv.slice(2).map((path) => resolve(path));
const server = await serve(site);
const browser = await launch(tools);
await mkdir(out, { recursive: true });

await take("desk", { viewport: { width: 1200, height: 860 } }, async (page) => {
  await page.hover("#cells button:nth-child(20)");
});
await take("learning", { viewport: { width: 1200, height: 640 }, colorScheme: "dark" }, async (page) => {
  await ready(page);
  await page.click("#negatives");
  const before = await pixels(page);
  await page.click("#learn");
  await says(page, "#learn-said", /^2000 steps/);
  await changed(page, before);
  await page.locator("#learning").evaluate((section) => section.scrollIntoView());
});
await take("phone", { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true }, async (page) => {
  await page.selectOption("#model", "fashion-mnist-dcgan28");
  await says(page, "#fact-flash", /478/);
  await directions(page);
});
await browser.close();
await server.stop();

async function take(name, options, act) {
  const { page, close } = await open(browser, server.url, options);
  await directions(page);
  await act(page);
  // What is said goes away.
  await page.waitForSelector("#status.shown", { state: "detached" });
  const png = await page.screenshot();
  const webp = await page.evaluate(async (png) => {
    const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(png), (c) => c.charCodeAt(0))]));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    const blob = await canvas.convertToBlob({ type: "image/webp", quality: 0.6 });
    return [...new Uint8Array(await blob.arrayBuffer())];
  }, png.toString("base64"));
  await writeFile(join(out, `${name}.webp`), Uint8Array.from(webp));
  await close();
}
