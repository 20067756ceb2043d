// Clients of both generations in one room.
import { assert, fresh, Inbox, run, scenario } from "./lib/scenario.mjs";
import * as v2 from "./lib/v2.mjs";
import * as v4 from "./lib/v4.mjs";

scenario("v2 and v4 clients hear each other, binary too", async (cleanup) => {
  const nsp = fresh("/mixed");
  const clients = [];
  for (const lib of [v2, v4, v2, v4]) {
    const s = await lib.connect(cleanup, nsp);
    await lib.call(s, "join", "room");
    clients.push({ lib, s, inbox: new Inbox(s) });
  }
  const args = ["ä", { blob: Buffer.from([0, 1, 254, 255]), list: [Buffer.from("x")] }, null, 1.5];
  for (const [i, { lib, s }] of clients.entries()) {
    await lib.call(s, "to", "room", "room", i, ...args);
    await lib.call(s, "broadcast", `all ${i}`, i, ...args);
  }
  for (const [me, { inbox }] of clients.entries()) {
    const others = [0, 1, 2, 3].filter((i) => i !== me);
    for (const i of others) assert.deepEqual(await inbox.until(`all ${i}`), [`all ${i}`, i, ...args]);
    assert.deepEqual(inbox.named("room"), others.map((i) => [i, ...args]));
  }
});

scenario("each generation sees the other's events in order", async (cleanup) => {
  const nsp = fresh("/mixed");
  const [old, now] = [await v2.connect(cleanup, nsp), await v4.connect(cleanup, nsp)];
  const [inOld, inNow] = [new Inbox(old), new Inbox(now)];
  for (let i = 0; i < 500; i++) {
    old.emit("broadcast", "seq", i);
    now.emit("broadcast", "seq", i);
  }
  await Promise.all([v2.call(old, "broadcast", "end"), v4.call(now, "broadcast", "end")]);
  await Promise.all([inOld.until("end"), inNow.until("end")]);
  const want = Array.from({ length: 500 }, (_, i) => [i]);
  assert.deepEqual(inOld.named("seq"), want);
  assert.deepEqual(inNow.named("seq"), want);
});

await run();
