// Engine.IO 3 against a server that does not allow it.
import { assert, run, scenario, within } from "./lib/scenario.mjs";
import { Closed, request, Socket } from "./lib/raw.mjs";
import { manager } from "./lib/v2.mjs";

const refusal = { code: 5, message: "Unsupported protocol version" };

scenario("polling gets 400 with code 5, as does a client that says no version", async () => {
  for (const query of ["EIO=3&transport=polling", "transport=polling"]) {
    const { status, text } = await request("/socket.io/", { query });
    assert.equal(status, 400);
    assert.deepEqual(JSON.parse(text), refusal);
  }
});

// Node opens it and closes it at once; a refusal of the upgrade says the same in HTTP.
scenario("a WebSocket gets 400 with code 5, or is closed without a packet", async (cleanup) => {
  const s = new Socket("/socket.io/", "EIO=3&transport=websocket");
  cleanup(() => s.close());
  const refused = await within(s.opened.then(() => null, (e) => e), "the refusal");
  if (refused) assert.deepEqual([refused.status, JSON.parse(refused.text)], [400, refusal]);
  assert((await s.next()) instanceof Closed);
});

scenario("the v2 client sees a connect_error", async (cleanup) => {
  const s = manager(cleanup).socket("/");
  await within(
    new Promise((resolve, reject) => {
      s.once("connect_error", resolve);
      s.once("connect", () => reject(new Error("connected")));
    }),
    "the connect_error",
  );
});

await run();
