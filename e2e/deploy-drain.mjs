// A node ends while clients are connected through a load balancer; --client as in deploy-clients.mjs.
import { ask, assert, deadline, fresh, once, run, scenario, settings, within } from "./lib/scenario.mjs";
import { call, manager, ready, upgraded } from "./lib/v4.mjs";

const options = { withCredentials: settings.client === "jar", reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100 };

scenario("SIGTERM: its clients go on elsewhere, the others notice nothing", async (cleanup) => {
  const clients = await Promise.all(
    Array.from({ length: 9 }, async () => {
      const m = manager(cleanup, options);
      const s = await ready(m.socket(fresh("/drain")));
      s.disconnects = 0;
      s.errors = [];
      s.on("disconnect", () => s.disconnects++);
      // What a person would notice: a connection that could not be made again.
      m.on("reconnect_error", (e) => s.errors.push(e.message));
      return upgraded(s);
    }),
  );
  await ask("spread", clients.map((s) => s.nsp));

  // Everybody is busy meanwhile. What is under way when the node ends is lost
  // with it, unless the client asks for retries; that is Socket.IO's promise.
  let busy = true;
  const talk = Promise.all(
    clients.map(async (s) => {
      for (let i = 0; busy; i++) {
        const before = s.disconnects;
        try {
          assert.equal(await s.timeout(2000).emitWithAck("echo", i), i);
        } catch (e) {
          assert(s.disconnects > before || !s.connected || e.message !== "operation has timed out", `${s.nsp}: ${e.message}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }),
  );
  const left = once(clients[0], "disconnect");
  await ask("term", clients.map((s) => s.nsp));
  await left;
  await within(
    Promise.all(clients.map(async (s) => s.connected || once(s, "connect"))),
    "all clients to be back",
    deadline,
  );
  await new Promise((resolve) => setTimeout(resolve, 1000)); // while HAProxy finds out
  busy = false;
  await talk;
  await ask("ended");
  for (const s of clients) assert.equal(await call(s, "echo", s.nsp), s.nsp);
  assert.deepEqual(clients.flatMap((s) => s.errors), []);
  await ask("moved", Object.fromEntries(clients.map((s) => [s.nsp, s.disconnects])));
});

await run();
