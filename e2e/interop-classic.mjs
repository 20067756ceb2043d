// Our nodes among Node.js servers with the classic adapter, one on the package
// redis and one on ioredis, all in one Redis: what each can do, to and from each.
import { assert, deadline, fresh, run, scenario, within } from "./lib/scenario.mjs";
import { call } from "./lib/v4.mjs";
import { eventually, parted, Party, Peer, urls } from "./interop-peers.mjs";

const ours = new Peer("ours", urls.ours, "ours");
const serve = new Peer("serve", urls.serve, "ours"); // obeys no commands
const node = new Peer("node", urls.node, "node");
const ioredis = new Peer("ioredis", urls.ioredis, "node");
const everywhere = ["ours", "serve", "node", "ioredis"];
const peers = [ours, serve, node, ioredis];
const commanders = [ours, node, ioredis];
const without = (...names) => everywhere.filter((n) => !names.includes(n));

for (const from of commanders) {
  scenario(`${from.name}: broadcasts reach whom they address, once`, async (cleanup) => {
    const p = await Party.at(cleanup, peers);
    const id = (name) => p.clients[name].id;
    await p.heard(from, {}, everywhere);
    await p.heard(from, { rooms: ["all"] }, everywhere);
    await p.heard(from, { rooms: ["at nobody"] }, []);
    await p.heard(from, { rooms: ["at node", "at serve", "at nobody"] }, ["node", "serve"]);
    await p.heard(from, { rooms: ["all", "at ours"] }, everywhere);
    await p.heard(from, { except: ["at ours"] }, without("ours"));
    await p.heard(from, { except: ["all"] }, []);
    await p.heard(from, { rooms: ["all"], except: ["at serve", id("ioredis")] }, ["ours", "node"]);
    for (const name of everywhere) {
      await p.heard(from, { rooms: [`at ${name}`] }, [name]);
      await p.heard(from, { rooms: [id(name)] }, [name]);
      await p.heard(from, { except: [id(name)] }, without(name));
    }
    await p.heard(from, { rooms: [id("ours"), id("node")] }, ["ours", "node"]);
    await p.heard(from, { volatile: true }, everywhere);
  });

  scenario(`${from.name}: arguments arrive as they were`, async (cleanup) => {
    const p = await Party.at(cleanup, peers);
    const values = [
      null, true, 0, -1, 1.5, -1e-9, 2 ** 31, 2 ** 53 - 1, -(2 ** 40), "", "höher 漢字 🙂 \u0000 \u2028 <&>",
      [], {}, [[[]]], { a: { b: [1, { c: null }] }, "": 1, __proto: "x" }, "x".repeat(70_000), Array(70_000).fill(7),
    ];
    if (from.kind === "ours") values.push(1e300); // of which Node.js makes a 0
    const same = (got, what) => assert.deepEqual(got, values, what);
    await p.heard(from, { args: values }, everywhere, { check: same });
    await p.heard(from, { args: values, rooms: ["all"] }, everywhere, { check: same });
    for (const size of [0, 1, 300, 70_000]) {
      const blob = Buffer.alloc(size, size % 251);
      const equal = (got, what) => {
        assert.equal(got.length, 2, what);
        assert(Buffer.isBuffer(got[0]) && blob.equals(got[0]), what);
        assert.equal(got[1], "behind", what);
      };
      await p.heard(from, { args: [blob, "behind"] }, everywhere, { check: equal });
      await p.heard(from, { args: [blob, "behind"], rooms: ["at serve", "at node"] }, ["serve", "node"], { check: equal });
      await p.heard(from, { args: [blob, "behind"], rooms: ["all"] }, everywhere, { check: equal });
    }
  });

  scenario(`${from.name}: events arrive in order`, async (cleanup) => {
    const p = await Party.at(cleanup, peers);
    const count = 300;
    await from.do("burst", { ns: p.ns, event: "n", rooms: ["all"], count });
    await from.do("emit", { ns: p.ns, event: "end" });
    for (const c of p.all) {
      await c.inbox.until("end");
      assert.deepEqual(c.inbox.named("n").map((args) => args[0]), Array.from({ length: count }, (_, i) => i), c.at);
    }
  });

  scenario(`${from.name}: clients everywhere acknowledge`, async (cleanup) => {
    const p = await Party.at(cleanup, peers);
    const ask = (command) => from.outcome("emitAck", { ns: p.ns, event: "question", timeout: deadline, ...command });
    const names = (value) => value.map((a) => a.client).sort();
    const all = await ask({ args: [{ n: 1 }, "x"] });
    assert.equal(all.error, undefined);
    assert.deepEqual(names(all.value), [...everywhere].sort());
    for (const a of all.value) assert.deepEqual(a.args, [{ n: 1 }, "x"]);
    for (const name of everywhere) {
      assert.deepEqual((await ask({ rooms: [`at ${name}`], args: [2] })).value, [{ client: name, args: [2] }]);
      assert.deepEqual(names((await ask({ except: [p.clients[name].id] })).value), without(name).sort());
    }
    // Nobody to ask is an answer, not a timeout.
    const none = await ask({ rooms: ["at nobody"] });
    assert.deepEqual([none.value ?? [], none.error], [[], undefined]);
    const blob = { $binary: Buffer.from([0, 1, 255]).toString("base64") };
    const binary = await ask({ event: "binary question", args: [Buffer.from([0, 1, 255])] });
    assert.deepEqual(binary.value, [blob, blob, blob, blob]);
  });

  scenario(`${from.name}: who does not acknowledge does not hide those who do`, async (cleanup) => {
    const p = await Party.at(cleanup, peers);
    for (const silent of ["ours", "node"]) {
      p.clients[silent].socket.off("question");
      const { value, error } = await from.outcome("emitAck", { ns: p.ns, event: "question", timeout: 700 });
      assert.match(error, /timed out|no acknowledgement|did not answer/i);
      const names = value.map((a) => a.client).sort();
      assert.deepEqual(names, (silent === "ours" ? without("ours") : without("ours", "node")).sort());
    }
  });

  scenario(`${from.name}: sockets everywhere join, leave and go`, async (cleanup) => {
    const p = await Party.at(cleanup, peers);
    await from.do("join", { ns: p.ns, to: ["r1", "r2"] });
    await p.applied(from, "r1", everywhere);
    await p.applied(from, "r2", everywhere);
    await p.heard(from, { rooms: ["r1"] }, everywhere);
    await p.heard(from, { rooms: ["r2"] }, everywhere);
    await from.do("leave", { ns: p.ns, to: ["r2"], rooms: ["at node", "at ours"] });
    await p.applied(from, "r2", ["serve"]);
    await p.heard(from, { rooms: ["r2"] }, ["serve", "ioredis"]);
    await from.do("leave", { ns: p.ns, to: ["r1"], except: ["r2"] });
    await p.applied(from, "r1", ["serve"]);
    await p.heard(from, { rooms: ["r1"] }, ["serve", "ioredis"]);
    for (const name of everywhere) {
      await from.do("join", { ns: p.ns, to: [`only ${name}`], rooms: [p.clients[name].id] });
      await p.applied(from, `only ${name}`, [name]);
      await p.heard(from, { rooms: [`only ${name}`] }, [name]);
      // One socket, as fetchSockets returned it.
      await from.do("toSocket", { ns: p.ns, rooms: [p.clients[name].id], event: "join", to: ["r9"] });
      await p.applied(from, "r9", [name]);
      await p.heard(from, { rooms: ["r9"] }, [name]);
      const event = fresh("direct");
      await from.do("toSocket", { ns: p.ns, rooms: ["r9"], event, args: [1] });
      assert.deepEqual(await p.clients[name].inbox.until(event), [event, 1]);
      await from.do("toSocket", { ns: p.ns, rooms: ["r9"], event: "leave", to: ["r9"] });
      await p.applied(from, "r9", []);
      await p.heard(from, { rooms: ["r9"] }, []);
    }
    const { serve: s, ...others } = p.clients;
    for (const c of Object.values(others)) c.parting = true;
    await from.do("disconnect", { ns: p.ns, except: ["at serve"] });
    await Promise.all(Object.values(others).map(parted));
    assert.deepEqual(await call(s.socket, "echo", 1), 1);
    s.parting = true;
    await from.do("disconnect", { ns: p.ns, rooms: [s.id], close: true });
    await parted(s);
  });

  scenario(`${from.name}: fetchSockets finds all, with what is known of them`, async (cleanup) => {
    const name = fresh("/interop");
    const options = { query: { q: "1 & 2" }, auth: { token: "t" }, extraHeaders: { "X-Test": "höher?" } };
    const found = {};
    for (const p of peers) found[p.name] = await p.client(cleanup, name, { ...options, room: "all" });
    const p = await Party.at(cleanup, peers, { name, only: [] });
    const { ns } = p;
    await p.subscribed();
    const sockets = await from.do("fetch", { ns });
    assert.deepEqual(sockets.map((s) => s.id).sort(), Object.values(found).map((c) => c.id).sort());
    for (const s of sockets) {
      const [at] = Object.entries(found).find(([, c]) => c.id === s.id);
      const { handshake: h } = s;
      assert.deepEqual(s.rooms, ["all"], at);
      if (at !== "serve") assert.deepEqual(s.data, { name: at });
      assert.match(h.headers["x-test"], /^h.*her\?$/, at);
      assert.equal(h.query.q, "1 & 2", at);
      assert.equal(h.query.EIO, "4", at);
      assert.deepEqual(h.auth, { token: "t" }, at);
      assert.match(h.address, /^(::ffff:)?127\.0\.0\.1$/, at);
      assert.deepEqual([h.secure, h.xdomain], [false, false], at);
      assert(Math.abs(Date.parse(h.time) - Date.now()) < 300_000 && Math.abs(h.issued - Date.now()) < 300_000, at);
      assert.match(h.url, /^\/socket\.io\/\?/, at);
    }
    // Servers that have nothing to say are counted, and say so; else this would time out.
    assert.deepEqual(await from.do("fetch", { ns, rooms: ["at nobody"] }) ?? [], []);
    assert.equal((await from.do("fetch", { ns, rooms: [found.ours.id] })).length, 1);
  });

  scenario(`${from.name}: what servers say to each other`, async (cleanup) => {
    const p = await Party.at(cleanup, commanders);
    await from.do("serverSide", { ns: p.ns, event: "news", args: [1, { a: "ö" }] });
    const others = commanders.filter((c) => c !== from).map((c) => c.name);
    for (const name of others) {
      assert.deepEqual(await p.clients[name].inbox.until("heard"), ["heard", name, [1, { a: "ö" }]]);
    }
    // Sequential to the first, so that a copy of one's own would be here by now.
    const { value, error } = await from.outcome("serverSideAck", { ns: p.ns, event: "ask", args: ["x", { y: [2] }] });
    assert.equal(error, undefined);
    value.sort((a, b) => (a.from < b.from ? -1 : 1));
    assert.deepEqual(value, others.sort().map((name) => ({ from: name, args: ["x", { y: [2] }] })));
    assert.equal(p.clients[from.name].inbox.named("heard").length, 0);
  });
}

scenario("clients of `dynamicio serve` and of Node.js servers broadcast to each other", async (cleanup) => {
  const p = await Party.at(cleanup, peers);
  const event = fresh("event");
  assert.deepEqual(await call(p.clients.serve.socket, "broadcast", event, 1, { b: Buffer.from("bin") }), { ok: true });
  assert.deepEqual(await call(p.clients.serve.socket, "to", "at node", `${event}!`), { ok: true });
  await p.clients.node.inbox.until(`${event}!`);
  for (const name of without("serve")) {
    const [, ...args] = await p.clients[name].inbox.until(event);
    assert.deepEqual(args, [1, { b: Buffer.from("bin") }]);
  }
  assert.equal(p.clients.serve.inbox.named(event).length, 0);
});

scenario("allRooms of a Node.js server has the rooms of our nodes", async (cleanup) => {
  const p = await Party.at(cleanup, peers);
  const want = ["all", ...everywhere.map((n) => `at ${n}`), ...p.all.map((c) => c.id)].sort();
  for (const from of [node, ioredis]) assert.deepEqual((await from.do("rooms", { ns: p.ns })).sort(), want);
});

scenario("a server-side event with binary data keeps it on the way from us to Node.js", async (cleanup) => {
  const p = await Party.at(cleanup, [ours, node]);
  await ours.do("serverSide", { ns: p.ns, event: "news", args: [Buffer.from([1, 2])] });
  assert.deepEqual(await p.clients.node.inbox.until("heard"), ["heard", "node", [Buffer.from([1, 2])]]);
});

scenario("a node that has become empty holds nobody up", async (cleanup) => {
  const p = await Party.at(cleanup, [ours, node]);
  const answered = async () => {
    const [sockets, rooms, acks] = await Promise.all([
      node.do("fetch", { ns: p.ns }),
      node.do("rooms", { ns: p.ns }),
      node.do("emitAck", { ns: p.ns, event: "question", timeout: deadline }),
    ]);
    return [sockets.length, rooms.length, acks.length];
  };
  assert.deepEqual(await answered(), [2, 5, 2]);
  p.clients.ours.parting = true;
  p.clients.ours.socket.disconnect();
  // The directory is told behind the subscription's end: our own question
  // waits for no one, and Node.js does not count the node that has left.
  await eventually("the node has left the channels", async () => (await p.servers()) === 1);
  assert.deepEqual(await answered(), [1, 3, 1]);
  assert.equal((await ours.do("fetch", { ns: p.ns })).length, 1);
  assert.deepEqual((await ours.do("emitAck", { ns: p.ns, event: "question" })).length, 1);
  // A Node.js server without a socket in the namespace answers for nobody.
  const ns = fresh("/interop");
  await node.do("of", { ns });
  const q = await Party.at(cleanup, [ours, node], { name: ns, only: [ours] });
  await q.subscribed([ours, node]);
  assert.equal((await ours.do("fetch", { ns })).length, 1);
  assert.equal((await ours.do("emitAck", { ns, event: "question" })).length, 1);
  assert.deepEqual(await ours.do("serverSideAck", { ns, event: "ask" }), [{ from: "node", args: [] }]);
});

scenario("a namespace and another's room that share a channel do not hear each other", async (cleanup) => {
  // The channel of the namespace /x#b is also that of the room b in /x.
  // On ioredis, Node.js delivers twice what two of its patterns match, so it is left out.
  const three = [ours, serve, node];
  const names = without("ioredis");
  const x = await Party.at(cleanup, three);
  for (const c of x.all) await call(c.socket, "join", "b");
  const y = await Party.at(cleanup, three, { name: `${x.ns}#b` });
  await x.subscribed();
  for (const from of [ours, node]) {
    await x.heard(from, { rooms: ["b"] }, names);
    await y.heard(from, { args: [Buffer.from("y")] }, names);
    await y.heard(from, { rooms: ["all"] }, names);
    await x.heard(from, { except: ["b"] }, []);
  }
  // Each heard an event and an end, but for the last one of x.
  for (const c of x.all) assert.equal(c.inbox.events.length, 3 * 2, c.at);
  for (const c of y.all) assert.equal(c.inbox.events.length, 4 * 2, c.at);
});

// What a Node.js process could stumble over, from our side and from our clients.
const odd = [
  [], [null], [undefined], [""], ["\ud800 lone"], [{ $: 1 }], [-0], [1e400], [2 ** 64], [[[[[[[[]]]]]]]],
  [{ constructor: { prototype: 1 }, toJSON: 1, hasOwnProperty: null, length: -1, then: 1 }],
  [JSON.parse('{"__proto__":{"x":1}}')], [{ _placeholder: true, num: 0 }], [{ type: "Buffer", data: [1] }],
  [Buffer.alloc(0)], [{ deep: [Buffer.from("x"), { b: Buffer.from("y") }] }], [new Date(0)], Array(300).fill(0),
  [JSON.parse("[".repeat(500) + "]".repeat(500))],
];

scenario("nothing that we publish makes a Node.js server exit or cut a client off", async (cleanup) => {
  const p = await Party.at(cleanup, peers);
  const { ns } = p;
  const rooms = [[], ["all"], ["no such"], ["all", "x"], [p.clients.node.id], ["#"], ["*"], ["a#b"], ["ö"], ["__proto__"], [""]];
  for (const [i, r] of rooms.entries()) {
    const timeout = 100;
    for (const event of ["e", "", "__proto__", "toString", "message", "ping", "newListener"]) {
      await ours.outcome("emit", { ns, rooms: r, event, args: odd[i] });
    }
    await ours.outcome("emit", { ns, except: r, volatile: true, event: "e" });
    await ours.outcome("emitAck", { ns, rooms: r, event: "nobody answers", args: odd[i], timeout });
    await ours.outcome("join", { ns, rooms: r, to: ["j", "", "#"] });
    await ours.outcome("leave", { ns, rooms: r, to: ["j", "", "nowhere"] });
    await ours.outcome("leave", { ns, rooms: r, to: [] });
    await ours.outcome("disconnect", { ns, rooms: ["no such"], except: r });
    await ours.outcome("fetch", { ns, rooms: r });
  }
  for (const args of odd) {
    await ours.outcome("emit", { ns, event: "e", args });
    await ours.outcome("serverSide", { ns, event: "news", args });
    await ours.outcome("serverSideAck", { ns, event: "ask", args, timeout: 100 });
    await call(p.clients.serve.socket, "broadcast", "e", ...args);
    await call(p.clients.serve.socket, "to", "all", "e", ...args);
  }
  const reserved = ["error", "connection", "connect", "new_namespace", "newListener", "removeListener", "disconnect", "", "__proto__"];
  for (const event of [...reserved, "nobody listens"]) {
    await ours.outcome("serverSide", { ns, event, args: [1] });
    await ours.outcome("serverSideAck", { ns, event, timeout: 50 });
    for (const verb of ["broadcast", "to"]) {
      p.clients.serve.socket.emit(verb, ...(verb === "to" ? ["all"] : []), event, 1);
    }
  }
  await p.heard(ours, {}, everywhere);
  await p.heard(node, {}, everywhere);
  await p.heard(ioredis, {}, everywhere);
  for (const c of p.all) assert.equal(await call(c.socket, "echo", 7), 7, c.at);
  assert.equal((await within(node.do("fetch", { ns }), "fetch")).length, 4);
});

scenario("nothing that we answer makes a Node.js server exit or cut a client off", async (cleanup) => {
  const p = await Party.at(cleanup, commanders);
  const { ns } = p;
  // Neither do clients whose handshake and data are odd.
  const auth = { x: odd.slice(0, 10), toJSON: 1 };
  const options = { auth, query: { "": "&=\u0000", "__proto__[a]": "1" }, extraHeaders: { "X-Odd": "\u00ff\t" } };
  const strange = await ours.client(cleanup, ns, { ...options, name: odd });
  let answers = [];
  for (const c of [p.clients.ours, strange]) c.socket.off("question").on("question", (answer) => answer(...answers));
  for (const from of [node, ioredis]) {
    for (answers of odd) {
      assert.equal((await from.do("emitAck", { ns, event: "question" })).length, 4);
      assert.equal((await from.do("serverSideAck", { ns, event: "ask", args: answers })).length, 2);
    }
    assert.equal((await from.do("fetch", { ns })).length, 4);
    await from.do("rooms", { ns });
    await p.heard(from, {}, ["ours", "node", "ioredis"]);
  }
});

await run({ parallel: 4 });
