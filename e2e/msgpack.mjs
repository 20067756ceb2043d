// Clients that speak msgpack beside such that speak JSON, on two nodes.
import parser from "socket.io-msgpack-parser";
import { assert, fresh, Inbox, run, scenario, settings, within } from "./lib/scenario.mjs";
import { call, callAll, connect, manager, ready, upgraded } from "./lib/v4.mjs";

const nodes = Object.values(JSON.parse(settings.peers));
const kinds = { msgpack: { parser }, json: {} };

// everybody is a client of each kind on each node, in one room.
async function everybody(cleanup, nsp) {
  const clients = [];
  for (const url of nodes) {
    for (const kind of Object.values(kinds)) {
      const s = await upgraded(await connect(cleanup, nsp, { url, ...kind }));
      await call(s, "join", "room");
      clients.push({ s, inbox: new Inbox(s) });
    }
  }
  return clients;
}

const values = {
  text: ["ä😀\u2028\0\"\\", ""],
  numbers: [0, -1, 127, 128, 65536, -32769, 2 ** 40, -(2 ** 40), 1.5, -0.25, 5e-324, Number.MAX_SAFE_INTEGER],
  containers: [{ a: [], b: {}, "ä": [null, true, false] }, [[[]]], Array.from({ length: 20 }, (_, i) => i)],
  binary: [Buffer.from([0, 1, 254, 255]), { deep: [{ er: Buffer.from("x") }, Buffer.alloc(0)] }],
  large: ["x".repeat(100_000), Buffer.alloc(100_000, 7), Array.from({ length: 5000 }, (_, i) => ({ i }))],
};

for (const [what, args] of Object.entries(values)) {
  scenario(`everybody in a room hears everybody: ${what}`, async (cleanup) => {
    const clients = await everybody(cleanup, fresh("/msgpack"));
    for (const [i, { s }] of clients.entries()) {
      assert.deepEqual(await callAll(s, "echo", ...args), args);
      await call(s, "to", "room", `to ${i}`, ...args);
      await call(s, "broadcast", `all ${i}`, ...args);
    }
    for (const [me, { inbox }] of clients.entries()) {
      for (const i of clients.keys()) {
        if (i === me) continue;
        assert.deepEqual(await inbox.until(`to ${i}`), [`to ${i}`, ...args]);
        assert.deepEqual(await inbox.until(`all ${i}`), [`all ${i}`, ...args]);
      }
      assert.deepEqual([inbox.named(`to ${me}`), inbox.named(`all ${me}`)], [[], []]);
    }
  });
}

scenario("what only msgpack has arrives as JSON has it", async (cleanup) => {
  const nsp = fresh("/msgpack");
  const [from, to] = [await connect(cleanup, nsp, { url: nodes[0], parser }), await connect(cleanup, nsp, { url: nodes[1] })];
  const inbox = new Inbox(to);
  await call(from, "broadcast", "x", new Date(1700000000123), undefined, { a: undefined, b: 1 }, NaN);
  assert.deepEqual(await inbox.until("x"), ["x", "2023-11-14T22:13:20.123Z", null, { b: 1 }, null]);
});

scenario("500 events of each kind of client stay in order", async (cleanup) => {
  const clients = await everybody(cleanup, fresh("/msgpack"));
  for (let i = 0; i < 500; i++) for (const { s } of clients) s.volatile.emit("echo") && s.emit("broadcast", s.id, i);
  await Promise.all(clients.map(({ s }) => call(s, "broadcast", `end ${s.id}`)));
  for (const { s, inbox } of clients) {
    for (const other of clients.map((c) => c.s.id).filter((id) => id !== s.id)) {
      await inbox.until(`end ${other}`);
      assert.deepEqual(inbox.named(other).map(([i]) => i), Array.from({ length: 500 }, (_, i) => i));
    }
  }
});

scenario("namespaces share a connection; leaving and coming back", async (cleanup) => {
  const m = manager(cleanup, { url: nodes[0], parser });
  const [a, b] = [fresh("/a"), fresh("/b")];
  const [sa, sb] = [m.socket(a, { auth: { token: Buffer.from("t") } }), m.socket(b)];
  await Promise.all([ready(sa), ready(sb)]);
  const first = sa.id;
  sa.disconnect();
  assert.deepEqual(await callAll(sb, "echo", 1), [1]);
  await ready(sa.connect());
  assert.notEqual(sa.id, first);
  assert.deepEqual(await callAll(sa, "echo", 2), [2]);
});

scenario("a refusal is a connect_error", async (cleanup) => {
  const s = manager(cleanup, { url: nodes[0], parser }).socket("//evil");
  const error = await within(new Promise((resolve) => s.once("connect_error", resolve)), "the refusal");
  assert.equal(error.message, "Invalid namespace");
});

await run();
