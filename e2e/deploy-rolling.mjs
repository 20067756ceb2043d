// A rolling restart while clients talk. --peers has how many nodes there are, and over how
// many milliseconds each of them ends its connections.
import { Visitor } from "./lib/visitor.mjs";
import { ask, assert, deadline, fresh, run, scenario, settings, within } from "./lib/scenario.mjs";
import { call, manager, ready } from "./lib/v4.mjs";

const { nodes, spread } = JSON.parse(settings.peers);
const count = 180;
const polls = (i) => i % 6 === 0; // the others use WebSocket

// peak is the largest number of these times within one second.
function peak(times) {
  let most = 0;
  for (let i = 0, j = 0; i < times.length; i++) {
    while (times[i] - times[j] >= 1000) j++;
    most = Math.max(most, i - j + 1);
  }
  return most;
}

// alive waits until a client's connection answers: it is none of a node that is gone.
async function alive(s) {
  for (;;) {
    try {
      return await s.timeout(1000).emitWithAck("echo", 0);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

scenario("nobody is refused, and the others are not run over", async (cleanup) => {
  const errors = [];
  let connects = [];
  const client = async (i) => {
    const m = manager(cleanup, {
      agent: new Visitor(`127.1.${i >> 8}.${(i & 255) + 1}`),
      transports: polls(i) ? ["polling"] : ["websocket"],
      reconnection: true,
      reconnectionDelay: 50,
      reconnectionDelayMax: 100,
    });
    m.on("reconnect_error", (e) => errors.push(`${i}: ${e.message}: ${e.description?.message ?? e.description ?? ""}`));
    const s = m.socket(fresh("/rolling"));
    s.on("connect_error", (e) => errors.push(`${i}: ${e.message}`));
    await ready(s);
    s.moves = 0;
    s.on("disconnect", () => s.moves++);
    s.on("connect", () => connects.push(performance.now()));
    return s;
  };
  const clients = [];
  while (clients.length < count) {
    clients.push(...(await Promise.all(Array.from({ length: 20 }, (_, k) => client(clients.length + k)))));
  }

  // What is under way when its connection ends is lost with it; nothing else is.
  let busy = true;
  let answered = 0;
  const talk = Promise.all(
    clients.map(async (s) => {
      for (let i = 0; busy; i++) {
        const before = s.moves;
        try {
          assert.equal(await s.timeout(deadline).emitWithAck("echo", i), i);
          answered++;
        } catch (e) {
          assert(s.moves > before, `${s.nsp}: ${e.message}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }),
  );

  for (let node = 0; node < nodes; node++) {
    connects = [];
    for (const s of clients) s.moves = 0;
    await ask("stop");
    await within(Promise.all(clients.map(alive)), "all clients to be back");
    const moved = clients.filter((s) => s.moves > 0).length;
    assert(moved >= count / nodes / 2, `${moved} clients were on node ${node}: the test shows nothing`);
    assert.deepEqual(clients.filter((s) => s.moves > 1).map((s) => s.nsp), [], "they were moved twice");
    assert.equal(connects.length, moved);
    const bound = (2.5 * moved * 1000) / spread;
    const most = peak(connects);
    console.error(`node ${node}: ${moved} clients moved, ${most} in the busiest second, at most ${Math.floor(bound)}`);
    assert(most <= bound, `${most} clients of ${moved} came to the other nodes within a second, want at most ${bound}`);
    await ask("start");
  }
  busy = false;
  await talk;
  assert(answered > count, `${answered} events were answered`);
  for (const s of clients) assert.equal(await call(s, "echo", s.nsp), s.nsp);
  assert.deepEqual(errors, []);
});

await run();
