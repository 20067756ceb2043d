// Our nodes and a server of stock Go (zishang520/socket.io with socket.io-go-redis),
// twice: on the common prefix, where it is heard, and on a prefix of its own,
// where our nodes speak its dialect. What it does not do among its own kind is not asked of it.
import { assert, run, scenario } from "./lib/scenario.mjs";
import { call } from "./lib/v4.mjs";
import { eventually, parted, Party, Peer, urls } from "./interop-peers.mjs";

// A prefix and the servers on it.
const common = { prefix: "socket.io", ...servers("") };
const goio = { prefix: "goio", ...servers("goio-") };
function servers(where) {
  return {
    ours: new Peer("ours", urls[`${where}ours`], "ours"),
    serve: new Peer("serve", urls[`${where}serve`], "ours"),
    go: new Peer("go", urls[`${where}go`], "go"),
  };
}

// emitterOf is the stock Go emitter, in the process of a stock Go server.
const emitterOf = (go) => ({
  name: "go emitter",
  kind: "emitter",
  do: (op, command) => go.do(op, { ...command, emitter: true }),
});

const everywhere = ["ours", "serve", "go"];
const party = (cleanup, { prefix, ours, serve, go }) => Party.at(cleanup, [ours, serve, go], { prefix });

// speaks checks whom broadcasts reach. deaf are the clients that hear nothing of
// the server, single those that hear what is for one room alone, or one socket.
async function speaks(p, from, { deaf = [], single = [] } = {}) {
  const hear = (...names) => names.filter((n) => !deaf.includes(n));
  const one = (name) => (deaf.includes(name) && !single.includes(name) ? [] : [name]);
  const id = (name) => p.clients[name].id;
  const args = [{ a: ["ö", null, 1.5, -3] }, "x"];
  const check = (got) => assert.deepEqual(got, args);
  await p.heard(from, { args }, hear(...everywhere), { deaf, check });
  await p.heard(from, { rooms: ["at ours", "at go"], args }, hear("ours", "go"), { deaf, check });
  await p.heard(from, { except: [id("serve")] }, hear("ours", "go"), { deaf });
  await p.heard(from, { rooms: ["all", "x"], except: ["at ours"] }, hear("serve", "go"), { deaf });
  for (const name of everywhere) {
    await p.heard(from, { rooms: [`at ${name}`], args }, one(name), { deaf, check });
    await p.heard(from, { rooms: [id(name)] }, one(name), { deaf });
  }
  const blob = [Buffer.from([0, 1, 255]), "behind"];
  const equal = (got) => assert.deepEqual(got, blob);
  await p.heard(from, { args: blob }, hear(...everywhere), { deaf, check: equal });
  await p.heard(from, { args: blob, rooms: ["at ours"] }, ["ours"], { deaf, check: equal });
}

// steers checks that sockets join, leave and go, everywhere. Stock Go has its
// requests and its broadcasts on two connections, so this waits for it.
async function steers(p, from, ours) {
  const has = (room, ...names) =>
    eventually(`${names} in ${room}`, async () => {
      const sockets = (await ours.do("fetch", { ns: p.ns, rooms: [room] })) ?? [];
      const want = names.map((n) => p.clients[n].id).sort();
      return JSON.stringify(sockets.map((s) => s.id).sort()) === JSON.stringify(want);
    });
  await from.do("join", { ns: p.ns, to: ["r1", "r2"], except: ["at serve"] });
  await has("r1", "ours", "go");
  await from.do("leave", { ns: p.ns, to: ["r1"], rooms: ["at go"] });
  await has("r1", "ours");
  await has("r2", "ours", "go");
  const { ours: o, ...others } = p.clients;
  for (const c of Object.values(others)) c.parting = true;
  await from.do("disconnect", { ns: p.ns, except: [o.id] });
  await Promise.all(Object.values(others).map(parted));
  assert.equal(await call(o.socket, "echo", 1), 1);
  o.parting = true;
  await from.do("disconnect", { ns: p.ns, rooms: ["r2"], close: true });
  await parted(o);
}

for (const [where, on] of Object.entries({ "the common prefix": common, "its own prefix": goio })) {
  const { ours, go } = on;
  const emitter = emitterOf(go);

  scenario(`${where}: a stock Go server is heard`, async (cleanup) => {
    await speaks(await party(cleanup, on), go);
  });

  scenario(`${where}: the stock Go emitter is heard`, async (cleanup) => {
    // A stock Go server hears what is for one room, and ours hear all of it.
    await speaks(await party(cleanup, on), emitter, { deaf: ["go"], single: ["go"] });
  });

  for (const from of [go, emitter]) {
    scenario(`${where}: ${from.name} makes sockets join, leave and go`, async (cleanup) => {
      await steers(await party(cleanup, on), from, ours);
    });

    scenario(`${where}: our nodes hear what ${from.name} says to servers`, async (cleanup) => {
      const p = await Party.at(cleanup, [ours, go], on);
      await from.do("serverSide", { ns: p.ns, event: "news", args: [1, { a: "ö" }] });
      assert.deepEqual(await p.clients.ours.inbox.until("heard"), ["heard", "ours", [1, { a: "ö" }]]);
    });
  }

  scenario(`${where}: what a stock Go server asks of all rooms is answered`, async (cleanup) => {
    const p = await party(cleanup, on);
    const [rooms] = await go.do("rooms", { ns: p.ns });
    assert.deepEqual(rooms.sort(), ["all", ...everywhere.map((n) => `at ${n}`), ...p.all.map((c) => c.id)].sort());
  });

  scenario(`${where}: sockets of a stock Go server are found`, async (cleanup) => {
    const p = await party(cleanup, on);
    const sockets = await ours.do("fetch", { ns: p.ns });
    assert.deepEqual(sockets.map((s) => s.id).sort(), p.all.map((c) => c.id).sort());
    const s = sockets.find((s) => s.id === p.clients.go.id);
    assert.deepEqual([s.rooms.sort(), s.data], [["all", "at go"], { name: "go" }]);
    assert.equal(s.handshake.query.EIO, "4");
    // It leaves the list out when there is nothing in it.
    assert.equal((await ours.do("fetch", { ns: p.ns, rooms: ["at ours"] })).length, 1);
  });

  scenario(`${where}: sockets of a stock Go server join, leave and go as ours do`, async (cleanup) => {
    await steers(await party(cleanup, on), ours, ours);
  });

  scenario(`${where}: a stock Go server hears what ours say to servers, and answers`, async (cleanup) => {
    const p = await Party.at(cleanup, [ours, go], on);
    await ours.do("serverSide", { ns: p.ns, event: "news", args: [1, { a: "ö" }] });
    assert.deepEqual(await p.clients.go.inbox.until("heard"), ["heard", "go", [1, { a: "ö" }]]);
  });
}

scenario("the common prefix: a broadcast of ours is lost on a stock Go server, and cuts no client off", async (cleanup) => {
  const p = await party(cleanup, common);
  const { ours } = common;
  const deaf = ["go"];
  await p.heard(ours, {}, ["ours", "serve"], { deaf });
  await p.heard(ours, { rooms: ["at go"] }, [], { deaf });
  await p.heard(ours, { rooms: [p.clients.go.id] }, [], { deaf });
  await p.heard(ours, { args: [Buffer.from("x")] }, ["ours", "serve"], { deaf });
  assert.equal(await call(p.clients.go.socket, "echo", 1), 1);
  assert.deepEqual(p.clients.go.inbox.events, []);
});

scenario("its own prefix: a stock Go server hears our broadcasts", async (cleanup) => {
  await speaks(await party(cleanup, goio), goio.ours);
});

scenario("its own prefix: clients of a stock Go server acknowledge", async (cleanup) => {
  const { ours } = goio;
  const p = await party(cleanup, goio);
  const all = await ours.do("emitAck", { ns: p.ns, event: "question", args: [{ n: 1 }] });
  assert.deepEqual(all.map((a) => a.client).sort(), [...everywhere].sort());
  for (const a of all) assert.deepEqual(a.args, [{ n: 1 }]);
  const one = await ours.do("emitAck", { ns: p.ns, event: "question", rooms: [p.clients.go.id] });
  assert.deepEqual(one, [{ client: "go", args: [] }]);
  const other = await ours.do("emitAck", { ns: p.ns, event: "question", rooms: ["at serve"] });
  assert.deepEqual(other, [{ client: "serve", args: [] }]);
});

scenario("its own prefix: servers acknowledge both ways", async (cleanup) => {
  const { ours, go } = goio;
  const p = await Party.at(cleanup, [ours, go], goio);
  const ask = { ns: p.ns, event: "ask", args: ["x", { y: 2 }] };
  assert.deepEqual(await ours.do("serverSideAck", ask), [{ from: "go", args: ask.args }]);
  const answers = await go.do("serverSideAck", ask);
  assert.deepEqual(answers.flat(), [{ from: "ours", args: ask.args }]);
});

await run({ parallel: 3 });
