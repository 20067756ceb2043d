// The Socket.IO v4 client over one choice of transports.
import { setTimeout } from "node:timers/promises";
import { assert, fresh, Inbox, once, run, scenario, settings, within } from "./lib/scenario.mjs";
import { call, callAll, connect, manager, ready, upgraded } from "./lib/v4.mjs";

const ok = { ok: true };

scenario("connects to the main namespace", async (cleanup) => {
  const s = await upgraded(await connect(cleanup));
  assert.equal(s.nsp, "/");
  assert.match(s.id, /^[\w-]{20,}$/);
  assert.equal(s.io.engine.transport.name, settings.transport === "polling" ? "polling" : "websocket");
  assert.deepEqual(await callAll(s, "echo", "there"), ["there"]);
});

scenario("connects to namespaces made on demand", async (cleanup) => {
  for (const nsp of [fresh("/dyn"), fresh("/a/b/c"), fresh("/höher/漢字"), fresh("/with space"), `/${"n".repeat(200)}`]) {
    const s = await connect(cleanup, nsp);
    assert.equal(s.nsp, nsp);
    assert.deepEqual(await callAll(s, "echo", nsp), [nsp]);
  }
});

scenario("a namespace asked for with query and auth is the same namespace", async (cleanup) => {
  const nsp = fresh("/dyn");
  const plain = await connect(cleanup, nsp);
  const other = await connect(cleanup, nsp, { query: { a: "1" }, auth: { token: "t", nested: { list: [1, null] } } });
  const inbox = new Inbox(plain);
  assert.deepEqual(await call(other, "broadcast", "hello", 1), ok);
  assert.deepEqual(await inbox.until("hello"), ["hello", 1]);
});

scenario("namespaces share one connection and nothing else", async (cleanup) => {
  const m = manager(cleanup);
  const names = Array.from({ length: 20 }, () => fresh("/multi"));
  const sockets = await Promise.all(["/", ...names].map((nsp) => ready(m.socket(nsp))));
  // SEMANTICS 0.4: an id for each namespace, none of them that of the connection.
  const ids = new Set([m.engine.id, ...sockets.map((s) => s.id)]);
  assert.equal(ids.size, sockets.length + 1);

  const sender = await connect(cleanup, names[0]);
  const inboxes = sockets.map((s) => new Inbox(s));
  await call(sender, "broadcast", "only here");
  await inboxes[1].until("only here");
  await Promise.all(sockets.map((s, i) => callAll(s, "echo", i)));
  inboxes.forEach((inbox, i) => assert.equal(inbox.named("only here").length, i === 1 ? 1 : 0, sockets[i].nsp));
});

scenario("leaving one namespace leaves the others of the connection alone", async (cleanup) => {
  const m = manager(cleanup);
  const [a, b] = [fresh("/multi"), fresh("/multi")];
  const [first, second] = await Promise.all([ready(m.socket(a)), ready(m.socket(b))]);
  const { id } = second;
  first.disconnect();
  assert.deepEqual(await callAll(second, "echo", "still"), ["still"]);
  assert.equal(second.id, id);
  const before = first.id;
  first.connect();
  await ready(first);
  assert.notEqual(first.id, before);
  assert.deepEqual(await callAll(first, "echo", "again"), ["again"]);
});

// packets returns what a connection receives from now on, as its parser has read it.
function packets(manager) {
  const got = [];
  manager.decoder.on("decoded", ({ type, nsp, id, data }) => got.push([type, nsp, id, data]));
  return got;
}

scenario("SEMANTICS 0.2: a refused name is a connect_error and nothing more", async (cleanup) => {
  const m = manager(cleanup, { reconnection: true });
  const good = await ready(m.socket(fresh("/dyn")));
  const got = packets(m);
  const evil = m.socket("//evil");
  const [error] = await once(evil, "connect_error");
  assert(error instanceof Error);
  assert.equal(error.message, "Invalid namespace");
  assert.equal(evil.active, false);
  assert.equal(evil.connected, false);
  assert.deepEqual(got.filter(([type]) => type === 4), [[4, "//evil", undefined, { message: "Invalid namespace" }]]);
  assert.deepEqual(await callAll(good, "echo", "unharmed"), ["unharmed"]);
});

scenario("SEMANTICS 0.3: names on the wire are those the client asked for", async (cleanup) => {
  const m = manager(cleanup);
  await ready(m.socket("/"));
  const got = packets(m);
  const nsp = fresh("/short");
  const [s, peer] = [await ready(m.socket(nsp)), await connect(cleanup, nsp)];
  await call(peer, "broadcast", "x");
  await callAll(s, "echo", "y");
  assert.deepEqual(got, [[0, nsp, undefined, { sid: s.id }], [2, nsp, undefined, ["x"]], [3, nsp, 0, ["y"]]]);
});

const values = {
  numbers: [0, 1, -1, 1.5, -0.25, 1e21, 5e-324, 2 ** 53, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
  booleans: [true, false, null],
  strings: ["", "äöü ß", "漢字かな", "🚀👩‍👩‍👧", "\u0000\u001f\u007f\u2028\u2029", "\"\\/", "</script><!--", "\ud800 alone", "1-2,[3]"],
  nested: [{ a: [1, { b: [[], {}, [null, [true]]] }], "": 0, "ключ": "значение" }, [[[[[[]]]]]]],
  placeholders: [{ _placeholder: false, num: 0 }, { num: 1 }],
};

// npm's parser for msgpack does not send these as what they are.
const lost = settings.client === "msgpack" ? [1e21, "\ud800 alone"] : [];

for (const [kind, all] of Object.entries(values)) {
  scenario(`echo gives back ${kind}`, async (cleanup) => {
    const args = all.filter((v) => !lost.includes(v));
    const s = await connect(cleanup, fresh("/echo"));
    assert.deepEqual(await callAll(s, "echo", ...args), args); // acknowledged
    const back = once(s, "echo");
    s.emit("echo", ...args); // without an acknowledgement: as an event
    assert.deepEqual(await back, args);
  });
}

scenario("echo gives back no arguments, and many", async (cleanup) => {
  const s = await connect(cleanup, fresh("/echo"));
  assert.deepEqual(await callAll(s, "echo"), []);
  const many = Array.from({ length: 500 }, (_, i) => i);
  assert.deepEqual(await callAll(s, "echo", ...many), many);
});

const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);

scenario("echo gives back binary", async (cleanup) => {
  const s = await connect(cleanup, fresh("/echo"));
  const args = [bytes, { list: [Buffer.from("buffer"), { deep: Buffer.alloc(0) }], plain: "text" }, bytes.buffer, 7];
  const want = [Buffer.from(bytes), { list: [Buffer.from("buffer"), { deep: Buffer.alloc(0) }], plain: "text" }, Buffer.from(bytes), 7];
  assert.deepEqual(await callAll(s, "echo", ...args), want);
  const back = once(s, "echo");
  s.emit("echo", ...args);
  assert.deepEqual(await back, want);
});

scenario("echo gives back 500 kB of text and of binary", async (cleanup) => {
  const s = await upgraded(await connect(cleanup, fresh("/echo")));
  const text = "0123456789".repeat(50_000);
  const [back] = await callAll(s, "echo", text);
  assert(back === text, "the text differs");
  const blob = Buffer.alloc(500_000, bytes);
  const [again] = await callAll(s, "echo", blob);
  assert(blob.equals(again), "the binary differs");
});

scenario("emitWithAck, with a timeout, and volatile", async (cleanup) => {
  const s = await upgraded(await connect(cleanup, fresh("/echo")));
  assert.equal(await s.emitWithAck("echo", "one"), "one");
  assert.equal(await s.timeout(10_000).emitWithAck("echo", "two"), "two");
  // The client drops a volatile event while its transport is busy. Nothing else is under way here, but over
  // polling the answer may have overtaken that to the POST.
  while (!s.io.engine.transport.writable) await setTimeout(1);
  assert.equal(await within(s.volatile.emitWithAck("echo", "three"), "the volatile echo"), "three");
});

scenario("an event that the program does not know is acknowledged as such", async (cleanup) => {
  const s = await connect(cleanup, fresh("/echo"));
  const answer = await s.timeout(20_000).emitWithAck("no such event", 1);
  assert.equal(answer.ok, false);
  assert.match(answer.error, /unknown event "no such event"/);
  assert.deepEqual(await callAll(s, "echo", "well"), ["well"]);
});

scenario("rooms reach those who joined, until they leave", async (cleanup) => {
  const nsp = fresh("/rooms");
  const [a, b, c] = await Promise.all([1, 2, 3].map(() => connect(cleanup, nsp)));
  const [inA, inB, inC] = [a, b, c].map((s) => new Inbox(s));
  assert.deepEqual(await call(a, "join", "red"), ok);
  assert.deepEqual(await call(b, "join", "red"), ok);
  // The marker is sent behind, by the same sender: where it is, the others would be.
  await call(a, "to", "red", "to red", 1);
  await call(a, "broadcast", "marker 1");
  await Promise.all([inB, inC].map((i) => i.until("marker 1")));
  await call(c, "to", "red", "to red", 2); // a sender need not be a member
  assert.deepEqual(await call(b, "leave", "red"), ok);
  await call(c, "to", "red", "to red", 3);
  await call(c, "broadcast", "marker 2");
  await Promise.all([inA, inB].map((i) => i.until("marker 2")));
  await call(c, "to", "nobody is here", "to red", 4);
  await callAll(c, "echo");
  assert.deepEqual(inA.named("to red"), [[2], [3]]);
  assert.deepEqual(inB.named("to red"), [[1], [2]]);
  assert.deepEqual(inC.named("to red"), []);
});

scenario("a socket can be addressed by its id", async (cleanup) => {
  const nsp = fresh("/rooms");
  const [a, b, c] = await Promise.all([1, 2, 3].map(() => connect(cleanup, nsp)));
  const [inB, inC] = [b, c].map((s) => new Inbox(s));
  await call(a, "to", b.id, "for b", { only: true });
  await call(a, "broadcast", "marker");
  await Promise.all([inB, inC].map((i) => i.until("marker")));
  assert.deepEqual(inB.named("for b"), [[{ only: true }]]);
  assert.deepEqual(inC.named("for b"), []);
});

scenario("a broadcast reaches everybody but its sender, binary too", async (cleanup) => {
  const nsp = fresh("/broadcast");
  const all = await Promise.all([1, 2, 3].map(() => connect(cleanup, nsp)));
  const inboxes = all.map((s) => new Inbox(s));
  const args = ["text", { blob: Buffer.from(bytes) }, null, [Buffer.from("x")]];
  assert.deepEqual(await call(all[0], "broadcast", "news", ...args), ok);
  await Promise.all(inboxes.slice(1).map((i) => i.until("news")));
  const back = once(all[0], "echo");
  all[0].emit("echo");
  await back; // a copy to the sender would have come before
  assert.deepEqual(inboxes.map((i) => i.named("news")), [[], [args], [args]]);
});

// sequence has one socket send n events at once and checks what each receiver got of it.
async function sequence(sender, receivers, n) {
  const inboxes = receivers.map((s) => new Inbox(s));
  for (let i = 0; i < n; i++) sender.emit("broadcast", "seq", i);
  await call(sender, "broadcast", "end");
  await Promise.all(inboxes.map((inbox) => inbox.until("end")));
  const want = Array.from({ length: n }, (_, i) => [i]);
  inboxes.forEach((inbox, i) => assert.deepEqual(inbox.named("seq"), want, `receiver ${i}`));
}

scenario("2,000 events of one sender reach five receivers in order", async (cleanup) => {
  const nsp = fresh("/order");
  const [sender, ...receivers] = await Promise.all([1, 2, 3, 4, 5, 6].map(() => connect(cleanup, nsp)));
  await Promise.all([sender, ...receivers].map(upgraded));
  await sequence(sender, receivers, 2000);
});

scenario("acknowledgements come in the order of the events", async (cleanup) => {
  const s = await connect(cleanup, fresh("/order"));
  const got = [];
  const n = 1000;
  await within(
    new Promise((resolve) => {
      for (let i = 0; i < n; i++) s.emit("echo", i, (x) => void (got.push(x) === n && resolve()));
    }),
    "1,000 acknowledgements",
  );
  assert.deepEqual(got, Array.from({ length: n }, (_, i) => i));
});

if (settings.transport === "upgrade") {
  // Left to itself, a client on loopback has upgraded before it can send
  // anything. These start the upgrade by hand, in the middle of the sequence.
  const onPolling = (cleanup, nsp) => connect(cleanup, nsp, { upgrade: false });
  const startUpgrade = ({ io: { engine } }) => {
    assert.equal(engine.transport.name, "polling");
    const upgrade = once(engine, "upgrade");
    engine._probe("websocket");
    return upgrade;
  };

  scenario("2,000 events stay in order while everybody upgrades", async (cleanup) => {
    const nsp = fresh("/order");
    const [sender, ...receivers] = await Promise.all([1, 2, 3, 4, 5, 6].map(() => onPolling(cleanup, nsp)));
    const inboxes = receivers.map((s) => new Inbox(s));
    let sent = 0;
    const slice = async () => {
      for (let i = 0; i < 20; i++) sender.emit("broadcast", "seq", sent++);
      await new Promise(setImmediate);
    };
    while (sent < 500) await slice();
    let done = 0;
    const upgrades = [...receivers, sender].map((s) => startUpgrade(s).then(() => done++));
    const before = sent;
    while (done < upgrades.length || sent < 2000) await slice();
    await Promise.all(upgrades);
    assert(sent > before, "nothing was sent during the upgrade");
    await call(sender, "broadcast", "end");
    await Promise.all(inboxes.map((inbox) => inbox.until("end")));
    const want = Array.from({ length: sent }, (_, i) => [i]);
    inboxes.forEach((inbox, i) => assert.deepEqual(inbox.named("seq"), want, `receiver ${i}`));
  });

  scenario("a client goes on where it was when it has upgraded", async (cleanup) => {
    const s = await onPolling(cleanup, fresh("/dyn"));
    const { id } = s;
    const sid = s.io.engine.id;
    await call(s, "join", "room");
    await startUpgrade(s);
    assert.equal(s.io.engine.transport.name, "websocket");
    assert.deepEqual([s.id, s.io.engine.id], [id, sid]);
    const peer = await connect(cleanup, s.nsp);
    const inbox = new Inbox(s);
    await call(peer, "to", "room", "still a member", Buffer.from("x"));
    assert.deepEqual(await inbox.until("still a member"), ["still a member", Buffer.from("x")]);
  });
}

scenario("a client that disconnects says so, and comes back as a new socket", async (cleanup) => {
  const nsp = fresh("/leave");
  const [s, peer] = await Promise.all([connect(cleanup, nsp), connect(cleanup, nsp)]);
  const before = s.id;
  await call(s, "join", "room");
  const reason = once(s, "disconnect");
  s.disconnect();
  assert.equal((await reason)[0], "io client disconnect");
  s.connect();
  await ready(s);
  assert.notEqual(s.id, before);
  const inbox = new Inbox(s);
  await call(peer, "to", "room", "to the old rooms");
  await call(peer, "broadcast", "marker");
  await inbox.until("marker");
  assert.deepEqual(inbox.named("to the old rooms"), []);
});

await run();
