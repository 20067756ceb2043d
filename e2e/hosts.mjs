// Virtual hosts, as a client sees them. The server runs with --host /^main\./ :
// every other host has namespaces of its own.
import { Agent } from "node:http";
import { assert, fresh, Inbox, run, scenario, settings } from "./lib/scenario.mjs";
import { Polling, Socket } from "./lib/raw.mjs";
import { call, callAll, connect } from "./lib/v4.mjs";

const { port } = new URL(settings.url);

// Every host name is this machine's, as it would be behind a wildcard DNS entry.
const agent = new Agent({
  lookup: (name, options, done) => (options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4)),
});

// at makes a client come by a host name; its Host header has the port behind it.
const at = (host) => ({ url: `http://${host}:${port}`, agent });

// member joins a namespace over a WebSocket whose Host header is `host` as it stands.
async function member(cleanup, host, nsp) {
  const s = await Socket.open("/socket.io/", { headers: { Host: host } });
  cleanup(() => s.close());
  s.send(`40${nsp},`);
  assert.match(await s.next(), new RegExp(`^40${nsp},\\{"sid":"[^"]+"\\}$`));
  return s;
}

// hears reports whether an event that `from` broadcasts reaches `to`, which
// listens in the same or another namespace. Both are on one node, so what is
// sent to `to` directly afterwards comes behind.
async function hears(from, to) {
  const inbox = new Inbox(to);
  const event = fresh("event");
  await call(from, "broadcast", event);
  await callAll(to, "echo");
  return inbox.named(event).length === 1;
}

scenario("SEMANTICS 0.3: the host never travels", async (cleanup) => {
  const name = fresh("/chat");
  const s = await member(cleanup, `b.example:${port}`, name);
  const peer = await connect(cleanup, name, at("b.example"));
  assert.equal(peer.nsp, name);
  await call(peer, "broadcast", "x", 1);
  assert.equal(await s.next(), `42${name},["x",1]`);
  s.send(`42${name},7["echo","y"]`);
  assert.equal(await s.next(), `43${name},7["y"]`);
  s.send("40//evil,");
  assert.equal(await s.next(), '44//evil,{"message":"Invalid namespace"}');
});

scenario("SEMANTICS 1.1: the main hosts share their namespaces", async (cleanup) => {
  const name = fresh("/chat");
  const a = await connect(cleanup, name, at("main.example"));
  const b = await connect(cleanup, name, at("main.other"));
  assert.equal(await hears(a, b), true);
});

scenario("SEMANTICS 1.9: another host's namespace is another namespace", async (cleanup) => {
  const name = fresh("/chat");
  const main = await connect(cleanup, name, at("main.example"));
  const b = await connect(cleanup, name, at("b.example"));
  const b2 = await connect(cleanup, name, at("b.example"));
  const c = await connect(cleanup, name, at("c.example"));
  assert.equal(await hears(b, b2), true);
  for (const [from, to] of [[b, main], [main, b], [b, c], [c, b], [c, main]]) assert.equal(await hears(from, to), false);
  // Rooms likewise.
  await Promise.all([main, b, c].map((s) => call(s, "join", "room")));
  const inboxes = [main, c].map((s) => new Inbox(s));
  await call(b2, "to", "room", "in the room");
  await Promise.all([main, c].map((s) => callAll(s, "echo")));
  for (const inbox of inboxes) assert.equal(inbox.events.length, 0);
});

scenario("SEMANTICS 1.3: case and a trailing dot do not make another host, a port does", async (cleanup) => {
  const name = fresh("/chat");
  const sender = await member(cleanup, "b.example", name);
  const same = await Promise.all(["B.Example", "b.example."].map((host) => member(cleanup, host, name)));
  const different = await Promise.all([`b.example:${port}`, "b.example:81"].map((host) => member(cleanup, host, name)));
  sender.send(`42${name},["broadcast","hello"]`);
  for (const s of same) assert.equal(await s.next(), `42${name},["hello"]`);
  for (const s of different) {
    s.send(`42${name},0["echo"]`);
    assert.equal(await s.next(), `43${name},0[]`);
  }
});

scenario("SEMANTICS 1.11: no client reaches another host's namespace by its full name", async (cleanup) => {
  const name = fresh("/secret");
  await connect(cleanup, name, at("b.example"));
  for (const host of ["main.example", "b.example", "c.example"])
    await assert.rejects(connect(cleanup, `//b.example${name}`, at(host)), /^Error: Invalid namespace$/);
});

scenario("SEMANTICS 1.8: the host of the handshake holds for the session", async (cleanup) => {
  const name = fresh("/chat");
  const session = await Polling.open("/socket.io/", { headers: { Host: `b.example:${port}` } });
  const listener = await connect(cleanup, name, at("b.example"));
  const stranger = await connect(cleanup, name, at("c.example"));
  const [inbox, elsewhere] = [new Inbox(listener), new Inbox(stranger)];
  const { status } = await session.post(`40${name},`, { headers: { Host: "c.example" } });
  assert.equal(status, 200);
  await session.get({ headers: { Host: "main.example" } });
  await session.post(`42${name},["broadcast","where"]`, { headers: { Host: "c.example" } });
  assert.deepEqual(await inbox.until("where"), ["where"]);
  await callAll(stranger, "echo");
  assert.equal(elsewhere.events.length, 0);
});

scenario("another host has a main namespace of its own", async (cleanup) => {
  const main = await connect(cleanup, "/", at("main.example"));
  const b = await connect(cleanup, "/", at("b.example"));
  const b2 = await connect(cleanup, "/", at("b.example"));
  assert.equal(await hears(b, b2), true);
  assert.equal(await hears(b, main), false);
});

await run();
