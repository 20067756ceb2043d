// The chat of node/example, on one node or on two ("a" and "b").
import { visit } from "./lib/browser.mjs";
import { ask, assert, fresh, Inbox, run, scenario, settings } from "./lib/scenario.mjs";
import { call, connect } from "./lib/v4.mjs";

const nodes = JSON.parse(settings.peers);

// enter lets somebody into a room by one of the nodes.
const enter = (cleanup, node, room, name) => connect(cleanup, room, { url: nodes[node], auth: { name } });

scenario("what one says the others hear, and the speaker gets it back", async (cleanup) => {
  const room = fresh("/room/r");
  const ann = await enter(cleanup, "a", room, "ann");
  const bob = await enter(cleanup, "b", room, "bob");
  const [anns, bobs] = [new Inbox(ann), new Inbox(bob)];
  const mine = await call(ann, "say", "  dinner <b>is</b> ready ");
  assert.equal(mine.name, "ann");
  assert.equal(mine.text, "dinner <b>is</b> ready");
  assert.deepEqual(await bobs.until("said"), ["said", mine]);
  await call(bob, "say", "coming");
  assert.equal((await anns.until("said"))[1].text, "coming"); // and not what she said herself
});

scenario("who is here, on all nodes", async (cleanup) => {
  const room = fresh("/room/r");
  const ann = await enter(cleanup, "a", room, "ann");
  const anns = new Inbox(ann);
  assert.deepEqual(await call(ann, "who"), ["ann"]);
  const bob = await enter(cleanup, "b", room, "bob");
  assert.deepEqual(await anns.until("joined"), ["joined", "bob"]);
  assert.deepEqual((await call(ann, "who")).sort(), ["ann", "bob"]);
  assert.deepEqual((await call(bob, "who")).sort(), ["ann", "bob"]);
  bob.disconnect();
  assert.deepEqual(await anns.until("left"), ["left", "bob"]);
  assert.deepEqual(await call(ann, "who"), ["ann"]);
});

scenario("who comes later learns what was said, in order", async (cleanup) => {
  const room = fresh("/room/r");
  const ann = await enter(cleanup, "a", room, "ann");
  const said = [];
  for (const text of ["one", "two", "three"]) said.push(await call(ann, "say", text));
  const bob = await enter(cleanup, "b", room, "bob");
  assert.deepEqual(await call(bob, "history"), said);
  // What bob's node has learnt it knows without ann's, and what bob says ann's knows without his.
  const anns = new Inbox(ann);
  said.push(await call(bob, "say", "four"));
  bob.disconnect();
  await anns.until("left");
  assert.deepEqual(await call(ann, "history"), said);
  const cat = await enter(cleanup, "b", room, "cat");
  const cats = new Inbox(cat);
  ann.disconnect();
  await cats.until("left");
  assert.deepEqual((await call(cat, "history")).slice(0, 3), said.slice(0, 3));
});

scenario("a room remembers its last hundred messages", async (cleanup) => {
  const ann = await enter(cleanup, "a", fresh("/room/r"), "ann");
  for (let i = 0; i < 103; i++) await call(ann, "say", `${i}`);
  const texts = (await call(ann, "history")).map((m) => m.text);
  assert.deepEqual(texts, Array.from({ length: 100 }, (_, i) => `${i + 3}`));
});

scenario("typing is told to the others", async (cleanup) => {
  const room = fresh("/room/r");
  const ann = await enter(cleanup, "a", room, "ann");
  const bob = await enter(cleanup, "b", room, "bob");
  const [anns, bobs] = [new Inbox(ann), new Inbox(bob)];
  // Volatile: one may get lost, where bob's transport is just being upgraded.
  const typing = setInterval(() => ann.emit("typing"), 20);
  cleanup(() => clearInterval(typing));
  assert.deepEqual(await bobs.until("typing"), ["typing", "ann"]);
  assert.equal(anns.named("typing").length, 0);
});

scenario("an empty room is forgotten when its time is over, not before", async (cleanup) => {
  const room = fresh("/room/r");
  const ann = await enter(cleanup, "a", room, "ann");
  await call(ann, "say", "remember me");
  ann.disconnect();
  const bob = await enter(cleanup, "a", room, "bob"); // at once
  assert.equal((await call(bob, "history")).length, 1);
  bob.disconnect();
  await ask("log", `msg="room forgotten" room=${room} messages=1`);
  const cat = await enter(cleanup, "a", room, "cat");
  assert.deepEqual(await call(cat, "history"), []);
});

scenario("nobody comes in without a name, or into what is no room", async (cleanup) => {
  const room = fresh("/room/r");
  for (const auth of [undefined, {}, { name: "  " }, { name: "x".repeat(21) }])
    await assert.rejects(connect(cleanup, room, { url: nodes.a, auth }), /^Error: choose a name/);
  await assert.rejects(connect(cleanup, room, { url: nodes.a, auth: { name: 7 } }), /^Error: auth must be/);
  for (const nsp of ["/room/", "/room/Kitchen", "/room/a/b", `/room/${"x".repeat(33)}`, "/other"])
    await assert.rejects(enter(cleanup, "a", nsp, "ann"), /^Error: Invalid namespace$/, nsp);
});

scenario("what is not worth saying is refused", async (cleanup) => {
  const ann = await enter(cleanup, "a", fresh("/room/r"), "ann");
  for (const text of ["", " ", "x".repeat(1001)]) assert.deepEqual(await call(ann, "say", text), { error: "say 1 to 1000 characters" });
  assert.deepEqual(await call(ann, "say", { a: 1 }), { error: "argument 1 is not understood" });
  assert.deepEqual(await call(ann, "history"), []);
});

scenario("the page, in Chromium: two people, and what they choose is never HTML", async (cleanup) => {
  const room = fresh("r");
  const come = async (node, name) => {
    // Who enters another room while the transport is being upgraded gives that up, and the browser notes it.
    const page = await visit(cleanup, nodes[node], { expect: ["WebSocket is closed before the connection is established"] });
    await page.fill("#name", name);
    await page.fill("#room", room);
    await page.click("#entry button");
    await page.locator("#state", { hasText: `In /room/${room} with` }).waitFor();
    return page;
  };
  const shows = (page, id, text) => page.waitForFunction(([id, text]) => document.querySelector(id).textContent === text, [id, text]);
  const evil = "<img src=x>";
  const ann = await come("a", evil);
  await shows(ann, "#state", `In /room/${room} with 1: ${evil}`);
  await ann.fill("#text", "<b>one</b>");
  await ann.click("#send");
  await shows(ann, "#said", `${evil} <b>one</b>`);

  const bob = await come("b", "bob");
  await shows(bob, "#said", `${evil} <b>one</b>`); // what was said before
  for (const page of [ann, bob]) await shows(page, "#state", `In /room/${room} with 2: ${evil}, bob`);
  await bob.fill("#text", "two");
  await shows(ann, "#typing", "bob is typing");
  await bob.press("#text", "Enter");
  for (const page of [ann, bob]) await shows(page, "#said", `${evil} <b>one</b>bob two`);
  assert.equal(await ann.locator("#said img, #said b b").count(), 0);

  await bob.fill("#name", " ");
  await bob.click("#entry button");
  await shows(bob, "#state", "choose a name of 1 to 20 characters");
  await shows(ann, "#state", `In /room/${room} with 1: ${evil}`);
});

await run();
