// Clients behind a load balancer before several nodes. --client says whether
// they keep cookies: "jar" as a browser on the same origin does, "no-jar" as
// Node.js and a browser on another origin do.
import { ask, assert, fresh, run, scenario, settings } from "./lib/scenario.mjs";
import { call, connect, upgraded } from "./lib/v4.mjs";

const options = { withCredentials: settings.client === "jar" };

scenario("every request of a session reaches its node", async (cleanup) => {
  const clients = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const s = await connect(cleanup, fresh("/sticky"), options);
      s.gone = [];
      s.on("disconnect", (reason) => s.gone.push(reason));
      return upgraded(s);
    }),
  );
  await ask("spread", clients.map((s) => s.nsp));
  await Promise.all(
    clients.map(async (s) => {
      for (let i = 0; i < 25; i++) assert.equal(await call(s, "echo", `${s.nsp} ${i}`), `${s.nsp} ${i}`);
      // Many at once travel in one request, many requests travel at once.
      const numbers = Array.from({ length: 50 }, (_, i) => i);
      assert.deepEqual(await Promise.all(numbers.map((i) => call(s, "echo", i))), numbers);
      const binary = Buffer.alloc(70_000, 7);
      assert.deepEqual(Buffer.from(await call(s, "echo", binary)), binary);
    }),
  );
  assert.deepEqual(clients.flatMap((s) => s.gone), []);
});

await run();
