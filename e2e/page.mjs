// The status page in Chromium. --peers has the URLs: n1 and n2 are one cluster, whose
// main hosts are 127.0.0.1 and localhost and which retires after 3 s; empty is a node that shows
// 127.0.0.1 no namespace, and that the test ends and starts; private wants its token of everybody.
import { createServer, request } from "node:http";
import { visit } from "./lib/browser.mjs";
import { Socket } from "./lib/raw.mjs";
import { ask, assert, deadline, fresh, run, scenario, settings } from "./lib/scenario.mjs";
import { call, connect } from "./lib/v4.mjs";

const nodes = JSON.parse(settings.peers);
const token = "page-token";
const path = "/socket.io/status";
const at = (node, query = "") => nodes[node] + path + query;

const live = (page) => page.waitForFunction(() => document.querySelector("#live")?.textContent === "live");
const shown = (page, name) => page.locator("#r-namespaces tbody", { has: page.locator("a.ns > bdi", { hasText: new RegExp(`^${RegExp.escape?.(name) ?? name.replace(/[^\w/]/g, "\\$&")}$`) }) });
const text = async (locator) => (await locator.innerText()).replace(/\s+/g, " ");

// member joins a namespace on a node, and rooms.
async function member(cleanup, node, name, ...rooms) {
  const s = await connect(cleanup, name, { url: nodes[node] });
  for (const room of rooms) await call(s, "join", room);
  return s;
}

scenario("no namespace", async (cleanup) => {
  const page = await visit(cleanup, at("empty"));
  await live(page);
  assert.match(await text(page.locator("h1")), /^Status of node \S+$/);
  assert.match(await text(page.locator("header p")), /^active namespaces on 127\.0\.0\.1:\d+/);
  assert.equal(await text(page.locator("#r-namespaces tbody")), "None.");
});

scenario("five namespaces: all that is inside them, on both nodes", async (cleanup) => {
  const name = fresh("/five");
  const sockets = [];
  for (let i = 0; i < 5; i++) sockets.push(await member(cleanup, i % 2 ? "n1" : "n2", `${name}/${i}`, "lobby"));
  sockets.push(await member(cleanup, "n1", `${name}/0`, "attic", "lobby"));
  const page = await visit(cleanup, at("n1"));
  await live(page);
  for (let i = 0; i < 5; i++) await shown(page, `${name}/${i}`).waitFor();
  const inside = await text(shown(page, `${name}/0`));
  assert.match(inside, new RegExp(`^${name}/0 2 n1: 1, n2: 1 3 s after the last leaves rooms attic 1 lobby 2 `));
  assert(inside.includes(`socket ${sockets[0].id} from 127.0.0.1 lobby on n2`), inside);
  assert(inside.includes(`socket ${sockets[5].id} from 127.0.0.1 attic lobby on n1`), inside);
  assert.match(await text(page.locator("#r-nodes")), /n1.*n2/);
});

scenario("what changes shows by itself, and what a person does stays", async (cleanup) => {
  const name = fresh("/live");
  const stays = await member(cleanup, "n1", `${name}/stays`);
  const page = await visit(cleanup, at("n1", `?q=${name}`), { viewport: { width: 1000, height: 500 } });
  await live(page);
  await shown(page, `${name}/stays`).waitFor();
  await page.evaluate(() => {
    window.mark = document.querySelector("a.ns");
    document.querySelector("a.ns").focus();
    scrollTo(0, 300);
    getSelection().selectAllChildren(document.querySelector("h1"));
    document.querySelector("#q").value += "";
  });
  const socket = await member(cleanup, "n2", `${name}/before`); // sorts before what has the focus
  await shown(page, `${name}/before`).waitFor();
  assert(await page.evaluate(() => document.activeElement === window.mark && window.mark.isConnected && scrollY >= 300 && getSelection().toString().startsWith("Status of cluster default")));
  // The row of what has the focus changes, too.
  await member(cleanup, "n2", `${name}/stays`);
  await page.waitForFunction((row) => /\s2\s/.test(row.innerText), await shown(page, `${name}/stays`).elementHandle());
  assert(await page.evaluate(() => document.activeElement === window.mark && window.mark.isConnected));
  socket.disconnect();
  const row = shown(page, `${name}/before`);
  await row.getByText(/none in \d s/).or(row.locator("time")).first().waitFor();
  assert.match(await text(row), /in \d s/);
  await page.waitForFunction((n) => document.querySelector("#retired").innerText.includes(n), `${name}/before`);
  await row.waitFor({ state: "detached" });
  assert(await page.evaluate(() => document.activeElement === window.mark));
  stays.disconnect();
});

scenario("finding, by typing and by keys alone", async (cleanup) => {
  const name = fresh("/find");
  for (const end of ["alpha", "beta", "gamma"]) await member(cleanup, "n2", `${name}/${end}`, "hall");
  const page = await visit(cleanup, at("n1"));
  await live(page);
  await page.keyboard.press("/");
  await page.keyboard.type(`${name}/be`);
  await shown(page, `${name}/alpha`).waitFor({ state: "detached" });
  await shown(page, `${name}/beta`).waitFor();
  assert.equal(await page.inputValue("#q"), `${name}/be`);
  assert(page.url().endsWith(`?q=${encodeURIComponent(`${name}/be`)}`), page.url());
  await page.keyboard.press("Escape");
  await shown(page, `${name}/alpha`).waitFor();
  assert.equal(new URL(page.url()).search, "");
  await page.keyboard.type(`${name}/ga`);
  await shown(page, `${name}/beta`).waitFor({ state: "detached" });
  const where = () => page.evaluate(() => {
    const e = document.activeElement;
    return { link: e.matches("a.ns") && e.innerText, outline: getComputedStyle(e).outlineStyle };
  });
  for (let i = 0; (await where()).link !== `${name}/gamma`; i++) {
    assert(i < 10, "Tab does not lead to the namespace");
    await page.keyboard.press("Tab");
    assert.notEqual((await where()).outline, "none", "what has the focus does not show it");
  }
  await page.keyboard.press("Enter");
  await page.waitForURL(/namespace=/);
  await page.locator("#r-sockets th").waitFor();
  // From the top, too, everything comes by Tab.
  await page.goto(at("n1"));
  await live(page);
  for (let i = 0; !(await page.evaluate(() => document.activeElement.id === "q")); i++) {
    assert(i < 30, "Tab does not lead to the search");
    await page.keyboard.press("Tab");
  }
});

scenario("one opened: its rooms and sockets on all nodes", async (cleanup) => {
  const name = fresh("/open");
  const a = await member(cleanup, "n1", name, "red", "blue");
  const b = await member(cleanup, "n2", name, "red");
  const page = await visit(cleanup, at("n1", `?q=${name}`));
  await shown(page, name).locator("a.ns").click();
  await live(page);
  assert.match(await text(page.locator("#one")), new RegExp(`${name} Sockets 2 On n1: 1, n2: 1 .* Rooms blue 1 red 2`));
  const rows = await text(page.locator("#r-sockets"));
  assert.match(rows, new RegExp(`${a.id} 127\\.0\\.0\\.1 n1 \\w+ .* blue red`));
  assert.match(rows, new RegExp(`${b.id} 127\\.0\\.0\\.1 n2 \\w+ .* red`));
  await call(b, "join", "green");
  await page.locator("#one .room", { hasText: "green" }).waitFor();
  const left = page.locator("#r-sockets tr", { hasText: b.id });
  b.disconnect();
  await left.waitFor({ state: "detached" });
  await page.waitForFunction(() => /Rooms blue 1 red 1$/.test(document.querySelector("#one").innerText.replace(/\s+/g, " ").trim()));
  await page.getByText("All namespaces").click();
  assert.equal(await page.inputValue("#q"), name);
});

const evil = [
  `<img src=x onerror="pwned=1">`, `</script><script>pwned=1</script>`, `"><svg onload=pwned=1>`, `' onfocus='pwned=1' autofocus='`,
  "{{constructor.constructor('pwned=1')()}}", "javascript:pwned=1", "&lt;script&gt;pwned=1&lt;/script&gt;", "\u202egnp.exe", "x".repeat(300),
];

scenario("hostile names are text", async (cleanup) => {
  const name = fresh("/evil");
  for (const e of evil) await member(cleanup, "n2", `${name}${e}`, e);
  const page = await visit(cleanup, at("n1", `?q=${name}`));
  await live(page);
  for (const e of evil) {
    await page.waitForFunction((n) => [...document.querySelectorAll("a.ns > bdi")].some((b) => b.textContent === n), name + e);
    assert(await page.evaluate((room) => [...document.querySelectorAll(".room bdi")].some((b) => b.textContent === room), e), `room ${e}`);
  }
  await member(cleanup, "n1", `${name}<iframe srcdoc="<script>parent.pwned=1</script>">`); // comes by the stream
  await page.waitForFunction(() => document.querySelector("#r-namespaces").innerText.includes("srcdoc"));
  assert.equal(await page.locator("main img, main iframe, main script, main svg:not(.chart)").count(), 0);
  await page.goto(at("n1", `?namespace=${encodeURIComponent(name + evil[0])}`));
  await live(page);
  assert.equal(await page.locator("#h-one bdi").textContent(), name + evil[0]);
  // A Host header is no name that could be shown.
  const host = `<script>pwned=1</script>`;
  const { status, body } = await new Promise((resolve, reject) => {
    request(at("n1"), { headers: { Host: host, Accept: "text/html" } }, async (res) => resolve({ status: res.statusCode, body: (await res.toArray()).join("") })).on("error", reject).end();
  });
  assert.equal(status, 400);
  assert(!body.includes(host));
  await page.setViewportSize({ width: 360, height: 700 });
  for (const query of [`?q=${name}`, `?namespace=${encodeURIComponent(name + evil.at(-1))}`]) {
    await page.goto(at("n1", query));
    assert(await page.evaluate(() => document.documentElement.scrollWidth <= 360), `${query} is wider than a phone`);
  }
});

scenario("without JavaScript it is complete", async (cleanup) => {
  const name = fresh("/plain");
  const s = await member(cleanup, "n2", `${name}/x`, "hall");
  const gone = new Promise((resolve) => s.on("disconnect", resolve));
  const page = await visit(cleanup, at("n1"), { javaScriptEnabled: false, expect: ["401 (Unauthorized)"] });
  assert(await page.getByText("Refresh").isVisible());
  await page.fill("#q", `${name}/`);
  await page.click("#find button");
  await shown(page, `${name}/x`).locator("a.ns").click();
  await page.locator("#r-sockets tr", { hasText: s.id }).waitFor();
  assert.equal(await page.locator("a[data-act]").count(), 0);
  await page.getByText("Sign in").click();
  await page.fill("#token", "wrong");
  await page.getByRole("button").click().catch(() => {});
  await page.locator("#wrong").waitFor();
  await page.fill("#token", token);
  await page.getByRole("button").click();
  await page.goto(at("n1", `?namespace=${encodeURIComponent(`${name}/x`)}`));
  await page.getByText("Disconnect…").click();
  await page.getByRole("button", { name: "Disconnect" }).click();
  await page.getByText("The socket is being disconnected.").waitFor();
  assert.equal(await gone, "io server disconnect");
  await page.goto(at("n1", `?q=${name}`));
  await page.getByText("Retire…").click();
  await page.getByRole("button", { name: "Retire now" }).click();
  await page.getByText("The namespace is being retired").waitFor();
});

scenario("signing in, and acting", async (cleanup) => {
  const name = fresh("/act");
  const s = await member(cleanup, "n2", `${name}/x`);
  const gone = new Promise((resolve) => s.on("disconnect", resolve));
  const page = await visit(cleanup, at("n1", `?q=${name}&token=${token}`), { expect: ["409 (Conflict)"] });
  await live(page);
  assert(!page.url().includes(token), page.url());
  assert.equal(await page.evaluate(() => document.cookie), "");
  const [cookie] = await page.context().cookies();
  assert(cookie.httpOnly && cookie.sameSite === "Strict" && !cookie.value.includes(token));
  await page.getByText("Disconnect…").click();
  assert.equal(await text(page.locator("#question")), `Disconnect socket ${s.id}?`);
  assert.equal(await page.evaluate(() => document.activeElement.innerText), "Keep");
  await page.keyboard.press("Escape");
  assert(!(await page.locator("#confirm").isVisible()) && s.connected);
  await page.getByText("Disconnect…").click();
  await page.getByRole("button", { name: "Disconnect" }).click();
  assert.equal(await gone, "io server disconnect");
  await page.getByText("The socket is being disconnected.").waitFor();
  await page.getByText("Retire…").click();
  await member(cleanup, "n1", `${name}/x`); // comes while the question stands
  await page.getByRole("button", { name: "Retire now" }).click();
  await page.getByText("The namespace has sockets").waitFor();
  await page.getByRole("button", { name: "Keep" }).click();
  await page.getByText("Sign out").click();
  await page.getByText("Sign in").waitFor();
});

scenario("who may not look is asked for the token, also on the way from another site", async (cleanup) => {
  const page = await visit(cleanup, at("private"), { expect: ["401 (Unauthorized)"] });
  await page.fill("#token", token);
  await page.keyboard.press("Enter");
  await live(page);
  await page.context().clearCookies();
  const elsewhere = createServer((_, res) => res.setHeader("Content-Type", "text/html").end(`<a href="${at("private", `?token=${token}`)}">status</a>`));
  await new Promise((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
  cleanup(() => elsewhere.close());
  const other = await visit(cleanup, `http://localhost:${elsewhere.address().port}/`, { expect: ["asked for", "favicon", "404"] });
  await other.getByText("status").click();
  await live(other);
  assert.equal(other.url(), at("private"));
});

// contrasts returns all texts whose contrast is below what WCAG asks for at level AA.
function contrasts() {
  const parts = (color) => color.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const back = (e) => {
    for (; e; e = e.parentElement) {
      const c = parts(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
  };
  const poor = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = walk.nextNode()); ) {
    const e = n.parentElement;
    if (!n.data.trim() || !e.checkVisibility() || e.localName === "script") continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(parts(style.color)), light(back(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.7 && style.fontWeight >= 600);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${ratio.toFixed(2)} "${n.data.trim()}" ${style.color}`);
  }
  return poor;
}

// brokenWords lists the words of cells that are cut in two lines, and what is wider than its place. Names may be cut.
function brokenWords() {
  const wrong = [];
  for (const table of document.querySelectorAll("table")) {
    if (table.scrollWidth > table.clientWidth + 1) wrong.push(`a table is ${table.scrollWidth} wide in ${table.clientWidth}`);
    for (const cell of table.querySelectorAll("thead th, td:not([data-l=On], [colspan])")) {
      for (const walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT); walk.nextNode(); ) {
        for (const { 0: word, index } of walk.currentNode.data.matchAll(/\S+/g)) {
          const range = document.createRange();
          range.setStart(walk.currentNode, index);
          range.setEnd(walk.currentNode, index + word.length);
          if (new Set([...range.getClientRects()].map((r) => r.top)).size > 1) wrong.push(word);
        }
      }
    }
  }
  return wrong;
}

scenario("its tables hold at any width", async (cleanup) => {
  const name = fresh("/a-rather-long-name-of-a-namespace");
  await member(cleanup, "n1", `${name}/a`, "room");
  await member(cleanup, "n2", `${name}/b`).then((s) => s.disconnect());
  const page = await visit(cleanup, at("n1"), { reducedMotion: "reduce" });
  await live(page);
  await page.locator("#r-nodes svg").first().waitFor({ state: "attached" }); // charts take room, too
  for (const width of [1000, 961, 900, 780, 738, 735, 600, 400, 320]) {
    await page.setViewportSize({ width, height: 700 });
    assert(await page.evaluate((width) => document.documentElement.scrollWidth <= width, width), `the page is wider than ${width}`);
    assert.deepEqual(await page.evaluate(brokenWords), [], `at ${width}`);
  }
});

scenario("light, dark, and on a phone", async (cleanup) => {
  const name = fresh("/look");
  await member(cleanup, "n1", `${name}/a`, "room");
  await member(cleanup, "n2", `${name}/b`).then((s) => s.disconnect());
  for (const colorScheme of ["light", "dark"]) {
    const page = await visit(cleanup, at("n1", `?token=${token}`), { colorScheme, reducedMotion: "reduce" });
    await live(page);
    assert.deepEqual(await page.evaluate(contrasts), [], colorScheme);
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).colorScheme), "light dark");
    for (const query of ["", `?namespace=${name}/a`, "?q=nothing"]) {
      await page.setViewportSize({ width: 360, height: 700 });
      await page.goto(at("n1", query));
      await live(page);
      assert(await page.evaluate(() => document.documentElement.scrollWidth <= 360), `${query} is wider than a phone`);
      assert.deepEqual(await page.evaluate(contrasts), [], colorScheme + query);
    }
    await page.goto(at("n1", "/signin"));
    assert.deepEqual(await page.evaluate(contrasts), [], `${colorScheme}, signing in`);
  }
});

scenario("paused, hidden, and on again", async (cleanup) => {
  const name = fresh("/pause");
  const page = await visit(cleanup, at("n1", `?q=${name}`));
  await live(page);
  await page.getByRole("button", { name: "Pause" }).click();
  assert.equal(await text(page.locator("#live")), "paused");
  // Times go on without the server.
  const up = await text(page.locator("[data-l=Up]").first());
  await page.waitForFunction((before) => document.querySelector("[data-l=Up]").innerText.replace(/\s+/g, " ") !== before, up);
  const socket = await member(cleanup, "n1", `${name}/x`);
  await page.waitForTimeout(1500);
  assert.equal(await shown(page, `${name}/x`).count(), 0);
  await page.fill("#q", `${name}/`); // finding works on a page that is paused
  await shown(page, `${name}/x`).waitFor();
  await page.waitForFunction(() => document.querySelector("#live").textContent === "paused");
  await page.getByRole("button", { name: "Go on" }).click();
  await live(page);
  socket.disconnect();
  await page.getByText(/^none$/).waitFor();
});

scenario("10,000 namespaces: the first page, another, and one of them found", async (cleanup) => {
  const name = fresh("/many");
  await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    const s = await Socket.open("/socket.io/");
    cleanup(() => s.close());
    for (let j = 0; j < 500; j++) s.send(`40${name}/${String(i * 500 + j).padStart(5, "0")},`);
    for (let j = 0; j < 500; j++) assert.match(await s.next(), /^40/);
  }));
  const page = await visit(cleanup, at("n1"));
  await live(page);
  const rows = await page.locator("#r-namespaces tbody").count();
  assert(rows >= 100 && rows <= 102, `${rows} namespaces on the page`); // those in which nobody was yet come on top
  await page.waitForFunction(() => /Namespaces\s+10,0\d\d/.test(document.querySelector("#totals").innerText));
  await page.locator("#pager a", { hasText: "Next" }).click();
  await live(page);
  assert.match(page.url(), /after=/);
  await page.goto(at("n1"));
  await live(page);
  await page.fill("#q", `${name}/07777`);
  await shown(page, `${name}/07777`).waitFor();
  await page.waitForFunction(() => document.querySelectorAll("#r-namespaces tbody").length === 1);
  assert.match(await text(shown(page, `${name}/07777`)), / 1 n1: 1 /);
});

// What the stream may bring in a day, in a few seconds: a server of this script's sends the
// real page, and then thousands of changes.
scenario("an open page does not grow", async (cleanup) => {
  const cut = (e) => /^event: update$/m.test(e);
  let go, send;
  const begin = new Promise((resolve) => (go = resolve));
  const server = createServer(async (req, res) => {
    const upstream = await fetch(nodes.n1 + req.url, { headers: { Accept: "text/html", Host: "127.0.0.1" }, signal: AbortSignal.timeout(deadline) });
    res.writeHead(upstream.status, { "Content-Type": upstream.headers.get("content-type"), "Content-Security-Policy": upstream.headers.get("content-security-policy") ?? "" });
    if (!req.url.includes("/events")) return res.end(await upstream.text());
    let got = "";
    for await (const chunk of upstream.body) if (cut((got += Buffer.from(chunk))) && got.includes("\n\n")) break;
    res.write(got);
    send = (update) => new Promise((resolve) => res.write(`event: update\ndata: ${Date.now()}\ndata: ${JSON.stringify(update)}\n\n`, resolve));
    go();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanup(() => (server.closeAllConnections(), server.close()));
  const page = await visit(cleanup, `http://127.0.0.1:${server.address().port}${path}`, { expect: ["ERR_"] });
  await begin;
  await live(page);
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable");
  const measure = async () => {
    await cdp.send("HeapProfiler.collectGarbage");
    const { metrics } = await cdp.send("Performance.getMetrics");
    return Object.fromEntries(metrics.map((m) => [m.name, m.value]));
  };
  const row = (i) => `<tbody id="ns-${i}"><tr><th scope="row"><a class="ns" href="?x"><bdi>/n/${i}</bdi></a></th><td class="n">${i}</td><td></td><td>in <time data-until="${Date.now() + 1e5 + i}">1 s</time></td></tr></tbody>`;
  let n = 0;
  const storm = async (updates) => {
    for (let i = 0; i < updates; i++, n++) {
      const ids = Array.from({ length: 100 }, (_, j) => `ns-${n + j}`); // each update, one goes and one comes
      const put = n ? { [ids[99]]: row(n + 99), [ids[50]]: row(n + 50) } : Object.fromEntries(ids.map((id, j) => [id, row(n + j)]));
      await send({ title: `t${n}`, put: { ...put, lease: `<p id="lease">held ${n}</p>` }, order: { namespaces: ids } });
      if (i % 100 === 99) await page.waitForFunction((t) => document.title === t, `t${n}`);
    }
    return measure();
  };
  const early = await storm(1000);
  const late = await storm(4000);
  console.error(`after 1,000 and 5,000 updates: ${early.Nodes} and ${late.Nodes} nodes, ${early.JSHeapUsedSize} and ${late.JSHeapUsedSize} bytes of heap, ${early.JSEventListeners} and ${late.JSEventListeners} listeners`);
  assert.equal(await page.locator("#r-namespaces tbody").count(), 100);
  assert(late.Nodes <= early.Nodes * 1.05, `${early.Nodes} DOM nodes became ${late.Nodes}`);
  assert(late.JSHeapUsedSize <= early.JSHeapUsedSize + 500_000, `${early.JSHeapUsedSize} bytes of heap became ${late.JSHeapUsedSize}`);
  assert(late.JSEventListeners <= early.JSEventListeners, "listeners pile up");
});

scenario("a node that goes and comes back", async (cleanup) => {
  const page = await visit(cleanup, at("empty"), { expect: ["ERR_", "Failed to load resource"] });
  await live(page);
  await ask("end");
  await page.getByText(/not connected since/).waitFor();
  // What was well is no news of now.
  await page.locator("body.stale").waitFor();
  assert.match(await page.title(), /^\? /);
  await ask("start");
  await live(page);
  assert.equal(await page.locator("body.stale").count(), 0);
  assert.match(await page.title(), /^✓ /);
});

// Two at a time: a case mostly waits. Those that follow each other closely do not disturb each other.
await run({ parallel: 2 });
