// The Socket.IO v2 client against a server that allows Engine.IO 3.
import { assert, fresh, Inbox, once, run, scenario, settings } from "./lib/scenario.mjs";
import { call, callAll, connect, manager, ready, upgraded } from "./lib/v2.mjs";

const ok = { ok: true };

scenario("connects to the main namespace", async (cleanup) => {
  const s = await upgraded(await connect(cleanup));
  assert.equal(s.io.engine.transport.name, settings.transport === "polling" ? "polling" : "websocket");
  assert.deepEqual(await callAll(s, "echo", "there"), ["there"]);
});

scenario("connects to namespaces made on demand", async (cleanup) => {
  for (const nsp of [fresh("/dyn"), fresh("/a/b/c"), `/${"n".repeat(200)}`]) {
    const s = await connect(cleanup, nsp);
    assert.equal(s.nsp, nsp);
    assert.deepEqual(await callAll(s, "echo", nsp), [nsp]);
  }
});

// Node's server answers under the percent-encoded name, which this client does not take for its own.
scenario("connects to a namespace beyond ASCII", async (cleanup) => {
  const nsp = fresh("/höher/漢字");
  const [s, peer] = [await connect(cleanup, nsp), await connect(cleanup, nsp)];
  const inbox = new Inbox(s);
  await call(peer, "broadcast", "hello");
  assert.deepEqual(await inbox.until("hello"), ["hello"]);
});

scenario("a namespace asked for with a query is the same namespace", async (cleanup) => {
  const nsp = fresh("/dyn");
  const plain = await connect(cleanup, nsp);
  const inbox = new Inbox(plain);
  const other = await connect(cleanup, nsp, { query: { token: "a b&c" } });
  await call(other, "broadcast", "hello");
  assert.deepEqual(await inbox.until("hello"), ["hello"]);
});

scenario("namespaces share one connection and nothing else", async (cleanup) => {
  const m = manager(cleanup);
  const names = Array.from({ length: 10 }, () => fresh("/multi"));
  const sockets = await Promise.all(["/", ...names].map((nsp) => ready(m.socket(nsp))));
  const inboxes = sockets.map((s) => new Inbox(s));
  const sender = await connect(cleanup, names[0]);
  await call(sender, "broadcast", "only here");
  await inboxes[1].until("only here");
  await Promise.all(sockets.map((s, i) => callAll(s, "echo", i)));
  inboxes.forEach((inbox, i) => assert.equal(inbox.named("only here").length, i === 1 ? 1 : 0, sockets[i].nsp));
});

scenario("a refused name is an error, and its connection lives on", async (cleanup) => {
  const m = manager(cleanup);
  const good = await ready(m.socket(fresh("/dyn")));
  const evil = m.socket("//evil");
  // A string from servers of that time, an object from Node's 4.x.
  const [error] = await once(evil, "error");
  assert.equal(error.message ?? error, "Invalid namespace");
  assert.equal(evil.connected, false);
  assert.deepEqual(await callAll(good, "echo", "unharmed"), ["unharmed"]);
});

scenario("echo gives back every kind of value", async (cleanup) => {
  const s = await connect(cleanup, fresh("/echo"));
  const args = [0, -1.5, 1e21, "äöü 漢字 🚀\u2028\u0000", "", null, true, { a: [1, { b: [[]] }], "ключ": {} }, []];
  assert.deepEqual(await callAll(s, "echo", ...args), args);
  const back = once(s, "echo");
  s.emit("echo", ...args);
  assert.deepEqual(await back, args);
  assert.deepEqual(await callAll(s, "echo"), []);
});

scenario("echo gives back binary", async (cleanup) => {
  const s = await connect(cleanup, fresh("/echo"));
  const bytes = Buffer.from(Uint8Array.from({ length: 256 }, (_, i) => i));
  const args = [bytes, { list: [Buffer.from("buffer"), { deep: Buffer.from([0]) }], plain: "text 漢" }, 7];
  assert.deepEqual(await callAll(s, "echo", ...args), args);
  const back = once(s, "echo");
  s.emit("echo", ...args);
  assert.deepEqual(await back, args);
});

scenario("echo gives back 500 kB", async (cleanup) => {
  const s = await upgraded(await connect(cleanup, fresh("/echo")));
  const text = "01234567ä".repeat(50_000);
  const [back] = await callAll(s, "echo", text);
  assert(back === text, "the text differs");
  const blob = Buffer.alloc(500_000, "blob");
  const [again] = await callAll(s, "echo", blob);
  assert(blob.equals(again), "the binary differs");
});

scenario("rooms and broadcasts reach whom they should", async (cleanup) => {
  const nsp = fresh("/rooms");
  const [a, b, c] = await Promise.all([1, 2, 3].map(() => connect(cleanup, nsp)));
  const [inA, inB, inC] = [a, b, c].map((s) => new Inbox(s));
  assert.deepEqual(await call(a, "join", "red"), ok);
  assert.deepEqual(await call(b, "join", "red"), ok);
  await call(a, "to", "red", "to red", 1);
  assert.deepEqual(await call(b, "leave", "red"), ok);
  await call(c, "to", "red", "to red", 2);
  await call(c, "broadcast", "marker", Buffer.from("binary"));
  await Promise.all([inA, inB].map((i) => i.until("marker")));
  await callAll(c, "echo");
  assert.deepEqual(inA.named("to red"), [[2]]);
  assert.deepEqual(inB.named("to red"), [[1]]);
  assert.deepEqual(inC.named("to red"), []);
  assert.deepEqual([inA, inB, inC].map((i) => i.named("marker")), [[[Buffer.from("binary")]], [[Buffer.from("binary")]], []]);
});

scenario("2,000 events of one sender reach five receivers in order", async (cleanup) => {
  const nsp = fresh("/order");
  const [sender, ...receivers] = await Promise.all([1, 2, 3, 4, 5, 6].map(() => connect(cleanup, nsp)));
  const inboxes = receivers.map((s) => new Inbox(s));
  for (let i = 0; i < 2000; i++) sender.emit("broadcast", "seq", i);
  await call(sender, "broadcast", "end");
  await Promise.all(inboxes.map((inbox) => inbox.until("end")));
  const want = Array.from({ length: 2000 }, (_, i) => [i]);
  inboxes.forEach((inbox, i) => assert.deepEqual(inbox.named("seq"), want, `receiver ${i}`));
});

scenario("a client that disconnects says so, and comes back", async (cleanup) => {
  const s = await connect(cleanup, fresh("/leave"));
  const reason = once(s, "disconnect");
  const closed = once(s.io, "close"); // before that, this client would close the new connection for the old
  s.disconnect();
  assert.equal((await reason)[0], "io client disconnect");
  await closed;
  s.connect();
  await ready(s);
  assert.deepEqual(await callAll(s, "echo", "again"), ["again"]);
});

await run();
