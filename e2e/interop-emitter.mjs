// What processes without a Socket.IO server say with @socket.io/redis-emitter, and
// virtual hosts: our nodes and a Node.js server in one Redis.
import { Emitter } from "@socket.io/redis-emitter";
import { assert, fresh, run, scenario } from "./lib/scenario.mjs";
import { call } from "./lib/v4.mjs";
import { parted, Party, Peer, redis, urls } from "./interop-peers.mjs";

const ours = new Peer("ours", urls.ours, "ours");
const serve = new Peer("serve", urls.serve, "ours");
const node = new Peer("node", urls.node, "node");
const all = ["ours", "serve", "node"];

// emitter obeys the commands that servers do, as far as an emitter can.
const emitter = {
  name: "emitter",
  kind: "emitter",
  async do(op, { ns, rooms = [], except = [], volatile, event, args = [], to, close }) {
    const e = new Emitter(redis).of(ns);
    let b = e.to(rooms).except(except);
    if (volatile) b = b.volatile;
    if (op === "emit") b.emit(event, ...args);
    else if (op === "join") b.socketsJoin(to);
    else if (op === "leave") b.socketsLeave(to);
    else if (op === "disconnect") b.disconnectSockets(close);
    else if (op === "serverSide") e.serverSideEmit(event, ...args);
    else throw new Error(`no such command of the emitter: ${op}`);
  },
};

// speaks checks everything that an emitter can say in a namespace.
async function speaks(p, names) {
  const id = (name) => p.clients[name].id;
  await p.heard(emitter, {}, names);
  await p.heard(emitter, { rooms: ["all"] }, names);
  await p.heard(emitter, { rooms: ["at nobody"] }, []);
  for (const name of names) {
    await p.heard(emitter, { rooms: [`at ${name}`] }, [name]);
    await p.heard(emitter, { rooms: [id(name)] }, [name]);
    await p.heard(emitter, { except: [id(name)] }, names.filter((n) => n !== name));
    await p.heard(emitter, { rooms: ["all"], except: [`at ${name}`] }, names.filter((n) => n !== name));
  }
  await p.heard(emitter, { rooms: ["at ours", "at serve", "at nobody"] }, ["ours", "serve"]);
  await p.heard(emitter, { volatile: true }, names);
  const args = [Buffer.from([0, 255]), { nested: [Buffer.from("x"), "ö", null, 1.5] }, -7, "z"];
  const check = (got) => assert.deepEqual(got, args);
  await p.heard(emitter, { args }, names, { check });
  await p.heard(emitter, { args, rooms: ["at ours"] }, ["ours"], { check });
}

// steers checks that an emitter makes sockets join, leave and go.
async function steers(p, names) {
  await emitter.do("join", { ns: p.ns, to: ["r1", "r2"], except: ["at serve"] });
  await p.applied(emitter, "r1", ["ours"]);
  await p.applied(emitter, "r2", ["ours"]);
  const joined = names.filter((n) => n !== "serve");
  await p.heard(emitter, { rooms: ["r1"] }, joined);
  await emitter.do("leave", { ns: p.ns, to: ["r1"], rooms: ["at ours"] });
  await p.heard(emitter, { rooms: ["r1"] }, joined.filter((n) => n !== "ours"));
  await p.heard(emitter, { rooms: ["r2"] }, joined);
  const { ours: o, ...others } = p.clients;
  for (const c of Object.values(others)) c.parting = true;
  await emitter.do("disconnect", { ns: p.ns, except: [o.id] });
  await Promise.all(Object.values(others).map(parted));
  assert.equal(await call(o.socket, "echo", 1), 1);
  o.parting = true;
  await emitter.do("disconnect", { ns: p.ns, rooms: ["r2"], close: true });
  await parted(o);
}

scenario("the emitter is heard", async (cleanup) => {
  await speaks(await Party.at(cleanup, [ours, serve, node]), all);
});

scenario("the emitter is heard in the main namespace", async (cleanup) => {
  const c = await ours.client(cleanup, "/");
  const event = fresh("event");
  await emitter.do("emit", { ns: "/", event, args: [1] });
  assert.deepEqual(await c.inbox.until(event), [event, 1]);
});

scenario("the emitter's events arrive in order", async (cleanup) => {
  const p = await Party.at(cleanup, [ours, serve, node]);
  const sent = Array.from({ length: 300 }, (_, i) => i);
  const e = new Emitter(redis).of(p.ns);
  for (const i of sent) (i % 2 ? e.to("all") : i % 3 ? e : e.to(["all", "x"])).emit("n", i);
  e.emit("end");
  for (const c of p.all) {
    await c.inbox.until("end");
    assert.deepEqual(c.inbox.named("n").flat(), sent, c.at);
  }
});

scenario("the emitter makes sockets join, leave and go", async (cleanup) => {
  await steers(await Party.at(cleanup, [ours, serve, node]), all);
});

scenario("servers hear what the emitter has for them", async (cleanup) => {
  const p = await Party.at(cleanup, [ours, node]);
  await emitter.do("serverSide", { ns: p.ns, event: "news", args: [1, { a: "ö" }] });
  for (const name of ["ours", "node"]) {
    assert.deepEqual(await p.clients[name].inbox.until("heard"), ["heard", name, [1, { a: "ö" }]]);
  }
});

scenario("a virtual host's namespace: the emitter is heard under its full name", async (cleanup) => {
  const p = await Party.at(cleanup, [ours, serve], { host: "shop.test" });
  await speaks(p, ["ours", "serve"]);
  await steers(p, ["ours", "serve"]);
});

scenario("a virtual host's namespace is one on two nodes, and no other's", async (cleanup) => {
  const name = fresh("/chat");
  const p = await Party.at(cleanup, [ours, serve], { name, host: "shop.test" });
  const others = [
    await Party.at(cleanup, [ours, serve], { name }),
    await Party.at(cleanup, [ours, serve], { name, host: "shop.test.example" }),
  ];
  await p.heard(ours, {}, ["ours", "serve"]);
  await p.heard(ours, { rooms: ["at serve"] }, ["serve"]);
  await p.heard(ours, { args: [Buffer.from("x")], except: [p.clients.ours.id] }, ["serve"]);
  const event = fresh("event");
  await call(p.clients.serve.socket, "to", "all", event);
  await p.clients.ours.inbox.until(event);
  const sockets = await ours.do("fetch", { ns: p.ns });
  assert.deepEqual(sockets.map((s) => s.id).sort(), p.all.map((c) => c.id).sort());
  const answers = await ours.do("emitAck", { ns: p.ns, event: "question" });
  assert.deepEqual(answers.map((a) => a.client).sort(), ["ours", "serve"]);
  // What is said on the other hosts comes behind on the same way, and is all that is heard there.
  for (const other of others) {
    await other.heard(ours, {}, ["ours", "serve"]);
    for (const c of other.all) {
      assert.deepEqual(c.inbox.events.filter((e) => !/^(event|end)/.test(e[0]) || e[0] === event), []);
      assert.equal(c.inbox.events.length, 2, c.at);
    }
  }
});

await run({ parallel: 4 });
