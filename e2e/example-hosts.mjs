// The virtual hosts of node/example.
import { ask, assert, Inbox, run, scenario, settings } from "./lib/scenario.mjs";
import { call, connect, manager } from "./lib/v4.mjs";

// visit joins a namespace by a host name, as a proxy or DNS would have it.
const visit = (cleanup, host, nsp) => connect(cleanup, nsp, by(host));
const by = (host) => ({ transports: ["websocket"], extraHeaders: { Host: host } });

// hears reports whether what one says reaches another; both are on one node.
async function hears(from, to) {
  const inbox = new Inbox(to);
  from.emit("say", "hello", { nested: [1] });
  await call(from, "say"); // an acknowledgement, after which it has been sent
  await call(to, "say");
  return inbox.named("said").some((args) => args[0] === "hello" && args[1].nested[0] === 1);
}

scenario("customers have the same room, each for itself", async (cleanup) => {
  const [ann, bob] = [await visit(cleanup, "shop.example", "/room/2"), await visit(cleanup, "shop.example", "/room/2")];
  const other = await visit(cleanup, "news.example", "/room/2");
  assert.equal(await hears(ann, bob), true);
  assert.equal(await hears(ann, other), false);
  assert.equal(await hears(other, ann), false);
});

scenario("www., the port and the case make no difference", async (cleanup) => {
  const ann = await visit(cleanup, "shop.example", "/room/3");
  for (const host of ["www.shop.example", "SHOP.example:8443", "WWW.Shop.Example.:80"])
    assert.equal(await hears(await visit(cleanup, host, "/room/3"), ann), true, host);
});

scenario("everybody is welcomed by name", async (cleanup) => {
  for (const [host, name] of [["shop.example", "The Shop"], ["news.example", "The News"]]) {
    const inbox = new Inbox(manager(cleanup, by(host)).socket("/room/2")); // it is the first thing to come
    assert.deepEqual(await inbox.until("welcome"), ["welcome", `Welcome to ${name}`]);
  }
});

scenario("a host that is no customer's is refused", async (cleanup) => {
  for (const host of ["other.example", "www.example", "shop.example.evil", new URL(settings.url).host])
    await assert.rejects(visit(cleanup, host, "/room/1"), /^Error: nobody of that name here$/, host);
});

scenario("each has the rooms that it pays for", async (cleanup) => {
  await visit(cleanup, "shop.example", "/room/20");
  await assert.rejects(visit(cleanup, "shop.example", "/room/21"), /^Error: The Shop has the rooms 1 to 20$/);
  await assert.rejects(visit(cleanup, "news.example", "/room/4"), /^Error: The News has the rooms 1 to 3$/);
  await assert.rejects(visit(cleanup, "shop.example", "/room/x"), /^Error: Invalid namespace$/);
});

scenario("an exact name counts more than a pattern", async (cleanup) => {
  await assert.rejects(visit(cleanup, "news.example", "/room/1"), /^Error: room 1 is being painted$/);
  await visit(cleanup, "shop.example", "/room/1");
});

scenario("empty rooms are kept for as long as each customer wants", async (cleanup) => {
  // The news' rooms are kept for minutes: what would close first if they were not comes second.
  (await visit(cleanup, "news.example", "/room/3")).disconnect();
  (await visit(cleanup, "shop.example", "/room/9")).disconnect();
  await ask("log", 'msg="room closed" customer="The Shop" room=//shop.example/room/9');
  await ask("log does not say", "room=//news.example/room/3");
});

await run();
