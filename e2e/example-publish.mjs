// The publisher of node/example, heard by clients of a node.
import { ask, assert, Inbox, run, scenario } from "./lib/scenario.mjs";
import { call, connect } from "./lib/v4.mjs";

scenario("clients hear the ticks in order, and at the end how many there were", async (cleanup) => {
  const [ann, bob] = [await connect(cleanup, "/clock"), await connect(cleanup, "/clock")];
  const inboxes = [ann, bob].map((s) => new Inbox(s));
  const elsewhere = await connect(cleanup, "/other");
  const stranger = new Inbox(elsewhere);
  await ask("publish");
  await inboxes[0].until("tick");
  await ask("interrupt"); // and its exit status is 0
  for (const inbox of inboxes) {
    const [, n] = await inbox.until("stopped");
    const ticks = inbox.named("tick");
    assert.deepEqual(ticks.map(([i]) => i), Array.from({ length: n }, (_, i) => i + 1));
    for (const [, time] of ticks) assert(Math.abs(Date.parse(time) - Date.now()) < 60_000, time);
  }
  await call(elsewhere, "echo");
  assert.equal(stranger.events.length, 0);
});

await run();
