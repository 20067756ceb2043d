// Servers that end and come back. The Go test does what `ask` says.
import { ask, assert, fresh, once, run, scenario, settings, within } from "./lib/scenario.mjs";
import * as v2 from "./lib/v2.mjs";
import * as v4 from "./lib/v4.mjs";

const { manager, ready, callAll, upgraded } = settings.client === "v2" ? v2 : v4;

// A client that tries again soon and for ever.
const persistent = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200 };

// reconnects ends the server as `how` says, checks what the clients are told,
// starts it again on the same address and waits for them to be back.
async function reconnects(cleanup, how, reasons) {
  const m = manager(cleanup, persistent);
  const sockets = await Promise.all(["/", fresh("/dyn")].map((nsp) => ready(m.socket(nsp))));
  await upgraded(sockets[0]);
  const ids = sockets.map((s) => s.id);

  const gone = sockets.map((s) => once(s, "disconnect"));
  await ask(how);
  for (const [reason] of await Promise.all(gone)) assert(reasons.includes(reason), `reason: ${reason}`);
  // What is emitted meanwhile waits at the client.
  const meanwhile = callAll(sockets[1], "echo", "said meanwhile");

  const back = sockets.map((s) => once(s, "connect"));
  await ask("start");
  await Promise.all(back);
  assert.deepEqual(await meanwhile, ["said meanwhile"]);
  for (const [i, s] of sockets.entries()) {
    assert.notEqual(s.id, ids[i]);
    assert.deepEqual(await callAll(s, "echo", i), [i]);
  }
}

// A WebSocket that ends, however it does, is a close to the client. A client
// that polls hears of the close if a GET of its waits at that moment; if not,
// its next one fails, which it calls an error.
const lost = settings.transport === "polling" ? ["transport close", "transport error"] : ["transport close"];

scenario("SIGTERM: the clients come back to a new server", (cleanup) => reconnects(cleanup, "term", lost));

scenario("SIGKILL: the clients come back to a new server", (cleanup) => reconnects(cleanup, "kill", lost));

scenario("clients that do not reconnect stay away", async (cleanup) => {
  const s = await upgraded(await ready(manager(cleanup).socket("/")));
  const gone = once(s, "disconnect");
  await ask("term");
  const [reason] = await gone;
  assert(lost.includes(reason), `reason: ${reason}`);
  await ask("start");
  const other = await ready(manager(cleanup).socket("/"));
  await within(callAll(other, "echo"), "the other client");
  assert.equal(s.connected, false);
});

await run();
