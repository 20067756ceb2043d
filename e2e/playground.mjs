// The playground in Chromium, over three nodes: --url is its address.
import { visit } from "./lib/browser.mjs";
import { assert, fresh, run, scenario, settings } from "./lib/scenario.mjs";

const text = async (locator) => (await locator.innerText()).replace(/\s+/g, " ");

// The demo's nodes have a port each, and the page speaks to all of them.
const expect = [`asked for http://${new URL(settings.url).hostname}:`];

class Playground {
  constructor(page) {
    this.page = page;
    this.clients = page.locator("#clients > section");
  }

  log(i) {
    return this.clients.nth(i).locator(".log");
  }

  // replica waits until the page knows on which one a client is, and returns it.
  async replica(i) {
    return text(this.clients.nth(i).locator(".place b"));
  }

  // settled waits until both clients are on replicas, and not on the same one.
  async settled() {
    await this.page.waitForFunction(() => {
      const places = [...document.querySelectorAll(".place b")].map((b) => b.textContent);
      const free = [...document.querySelectorAll(".move")].every((b) => !b.disabled);
      return free && places.length === 2 && places[0] !== places[1];
    });
    return [await this.replica(0), await this.replica(1)];
  }

  async say(i, words) {
    await this.clients.nth(i).locator("input").fill(words);
    await this.clients.nth(i).locator("input").press("Enter");
  }
}

// open visits the page and moves both clients into a namespace that nobody else is in.
async function open(cleanup, options) {
  const page = await visit(cleanup, settings.url, { expect, ...options });
  const p = new Playground(page);
  await p.settled();
  await page.locator("#enter").click();
  p.name = fresh("/kitchen");
  await page.locator("#name").fill(p.name);
  await page.locator("#enter").click();
  await p.settled();
  return p;
}

scenario("within a minute: a broadcast crosses replicas, and a namespace is retired everywhere", async (cleanup) => {
  const begin = performance.now();
  const page = await visit(cleanup, settings.url, { expect });
  const p = new Playground(page);
  const [one, two] = await p.settled();
  await p.say(0, "dinner is ready");
  await p.log(1).locator("li", { hasText: `“dinner is ready”from Client 1 on ${one}: it crossed replicas` }).waitFor();
  assert.equal(await page.locator("#replicas li").count(), 3);
  await page.locator("#replicas li", { hasText: `${two}: 1 here` }).waitFor();
  await page.locator("#enter").click();
  await page.locator("#life", { hasText: "/kitchen is empty everywhere: it retires in" }).waitFor();
  await page.locator("#life", { hasText: /\/kitchen, incarnation \d+, has been retired on every replica/ }).waitFor();
  await page.locator("#links a", { hasText: "status page" }).click();
  await page.locator("#r-nodes", { hasText: one }).waitFor();
  assert(performance.now() - begin < 60_000);
});

scenario("the button changes the replica, again and again, and what is said still arrives", async (cleanup) => {
  const p = await open(cleanup);
  for (let i = 0; i < 4; i++) {
    const before = await p.replica(0);
    await p.clients.nth(0).locator(".move").click();
    await p.log(0).locator("li", { hasText: `moved from ${before} to ` }).first().waitFor();
    await p.page.waitForFunction((name) => document.querySelector(".place b")?.textContent !== name, before);
    await p.page.waitForFunction(() => !document.querySelector(".move").disabled);
    assert.notEqual(await p.replica(0), before);
    await p.say(0, `still here ${i}`);
    await p.log(1).locator("li", { hasText: `“still here ${i}”` }).waitFor();
  }
});

scenario("a second page hears the first", async (cleanup) => {
  const p = await open(cleanup);
  const q = new Playground(await visit(cleanup, settings.url, { expect, viewport: { width: 400, height: 800 } }));
  await q.settled();
  await q.page.locator("#enter").click();
  await q.page.locator("#name").fill(p.name);
  await q.page.locator("#enter").click();
  await q.settled();
  await p.say(1, "hello <b>there</b>");
  for (const i of [0, 1]) await q.log(i).locator("li", { hasText: "“hello <b>there</b>”" }).waitFor();
  const wide = await q.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert(wide <= 0, `the page is ${wide} px wider than the window`);
  assert.match(await text(q.page.locator("h1")), /every replica/);
});

await run();
