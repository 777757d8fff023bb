// Whether everybody can use the page: contrast, names, order of focus, narrow screens, nothing that jumps.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { directions, open } from "./browser.mjs";
import { ready } from "./learning.mjs";

const SCREENS = {
  "a desk": { viewport: { width: 1280, height: 900 } },
  "a desk in the dark": { viewport: { width: 1280, height: 900 }, colorScheme: "dark" },
  "a phone": { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true },
  "a phone in the dark": { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, colorScheme: "dark" },
};

export function access({ browser, server, tools, models }) {
  for (const [name, options] of Object.entries(SCREENS)) {
    test(`names, contrast and width on ${name}`, async () => {
      const axe = await readFile(createRequire(join(tools, "package.json")).resolve("axe-core/axe.min.js"), "utf8");
      const { page, close } = await open(browser, server.url, { ...options, bypassCSP: true });
      await directions(page);
      await ready(page);
      await page.click("#negatives");
      await page.waitForSelector("#learn:enabled");
      await page.evaluate(axe);
      assert.deepEqual(await violations(page), []);
      // With classes, and without learning.
      await page.setInputFiles("#file", models.conditional);
      await page.waitForSelector("#class", { state: "visible" });
      await page.waitForSelector("#learn-refused", { state: "visible" });
      assert.deepEqual(await violations(page), []);
      const [needed, there] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(needed <= there, `${needed} of ${there} pixels`);
      await close();
    });
  }

  test("focus goes through the page in order, and shows where it is", async () => {
    const { page, close } = await open(browser, server.url);
    await directions(page);
    await ready(page);
    const expected = await page.evaluate(() => {
      const all = document.querySelectorAll("a, button, input, select, video[controls]");
      return [...all].filter((element) => element.tabIndex >= 0 && !element.disabled && element.checkVisibility()).map((element) => element.id || element.ariaLabel);
    });
    // From the top.
    await page.evaluate(() => {
      const title = document.querySelector("h1");
      title.tabIndex = -1;
      title.focus();
    });
    const seen = [];
    for (let i = 0; i < expected.length; i++) {
      await page.keyboard.press("Tab");
      const [name, visible] = await page.evaluate(() => {
        const element = document.activeElement;
        return [element.id || element.ariaLabel, getComputedStyle(element).outlineStyle !== "none"];
      });
      assert.ok(visible, `${name} does not show that it has the focus`);
      seen.push(name);
    }
    assert.deepEqual(seen, expected);
    await close();
  });

  test("nothing jumps", async () => {
    const { page, close } = await open(browser, server.url);
    await page.evaluate(() => {
      window.shifts = [];
      new PerformanceObserver((list) => shifts.push(...list.getEntries().filter((entry) => !entry.hadRecentInput).map((entry) => entry.value))).observe({ type: "layout-shift", buffered: true });
    });
    await directions(page);
    await page.evaluate(() => document.querySelector("#shuffle").click());
    await page.waitForTimeout(500);
    const shift = await page.evaluate(() => shifts.reduce((sum, value) => sum + value, 0));
    assert.ok(shift < 0.01, `${shift}`);
    await close();
  });

  test("a wait that is noticed is shown", async () => {
    const { page, close } = await open(browser, server.url, { serviceWorkers: "block" });
    await directions(page);
    await page.route("**/fashion-*.pgan", async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 700));
      await route.continue();
    });
    await page.selectOption("#model", "fashion-mnist-dcgan28");
    await page.waitForSelector("#busy", { state: "visible" });
    assert.match(await page.textContent("#said"), /Loading/);
    await page.click("#cancel");
    await page.waitForFunction(() => /cancelled/.test(document.querySelector("#failed").textContent));
    assert.equal(await page.inputValue("#model"), "mnist-dcgan28");
    await close();
  });
}

/** What axe finds, each with the element. */
async function violations(page) {
  const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const { violations } = await page.evaluate((runOnly) => axe.run({ runOnly }), rules);
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}
