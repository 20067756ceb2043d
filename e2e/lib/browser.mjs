// Chromium, as the scripts that look at pages use it: one for all cases, and for each a page of its
// own that notes whatever a page should never do.
import { spawnSync } from "node:child_process";
import { chromium } from "playwright-core";
import { assert, deadline } from "./scenario.mjs";

const executablePath = process.env.CHROMIUM ?? spawnSync("sh", ["-c", "command -v chromium"]).stdout.toString().trim();

const args = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

let browser;

// visit opens an address and returns its page. The case fails if the page ran a script that is not its
// own, asked for something, broke its policy or had an error.
export async function visit(cleanup, url, { expect = [], ...options } = {}) {
  browser ??= await chromium.launch({ executablePath, args });
  const context = await browser.newContext({ viewport: { width: 1000, height: 800 }, ...options });
  context.setDefaultTimeout(deadline);
  const wrong = [];
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (e) => console.error(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
  });
  const page = await context.newPage();
  page.on("dialog", (d) => {
    wrong.push(`dialog: ${d.message()}`);
    d.dismiss();
  });
  page.on("pageerror", (e) => wrong.push(`error: ${e.stack}`));
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && wrong.push(`console: ${m.text()}`));
  page.on("request", (r) => new URL(r.url()).protocol !== "data:" && new URL(r.url()).origin !== new URL(url).origin && wrong.push(`asked for ${r.url()}`));
  cleanup(async () => {
    const pwned = options.javaScriptEnabled === false ? undefined : await page.evaluate(() => window.pwned);
    await context.close();
    assert.equal(pwned, undefined, "a script of a client's has run");
    assert.deepEqual(wrong.filter((w) => !expect.some((e) => w.includes(e))), []);
  });
  await page.goto(url);
  return page;
}
