// The typed handlers of node/example; the server waits 500 ms for an answer.
import { createHash } from "node:crypto";
import { ask, assert, run, scenario } from "./lib/scenario.mjs";
import { call, connect, manager, ready } from "./lib/v4.mjs";

const auth = { user: "ann", token: "secret" };
const customer = (cleanup) => connect(cleanup, "/orders", { auth });

scenario("an order is confirmed by the client before it is accepted", async (cleanup) => {
  const ann = await customer(cleanup);
  const asked = [];
  ann.on("confirm", (order, total, answer) => {
    asked.push([order, total]);
    answer(total < 100);
  });
  const first = await call(ann, "order", { item: "tea", count: 3 });
  assert.equal(first.total, 12);
  const second = await call(ann, "order", { item: "tea", count: 1 });
  assert.equal(second.id, first.id + 1);
  assert.deepEqual(await call(ann, "order", { item: "piano", count: 1 }), { error: "you declined" });
  assert.deepEqual(asked, [
    [{ item: "tea", count: 3 }, 12],
    [{ item: "tea", count: 1 }, 4],
    [{ item: "piano", count: 1 }, 5000],
  ]);
});

scenario("who does not answer in time is told so", async (cleanup) => {
  const ann = await customer(cleanup);
  ann.on("confirm", () => {});
  assert.deepEqual(await call(ann, "order", { item: "tea", count: 1 }), { error: "you did not confirm within 500ms" });
});

scenario("errors for the client reach it", async (cleanup) => {
  const ann = await customer(cleanup);
  assert.deepEqual(await call(ann, "order", { item: "te\"a", count: 1 }), { error: 'no 1 of "te\\"a" here' });
  assert.deepEqual(await call(ann, "order", { item: "tea", count: 0 }), { error: 'no 0 of "tea" here' });
  assert.deepEqual(await call(ann, "order", { item: "tea", count: "three" }), { error: "argument 1 is not understood" });
  assert.deepEqual(await call(ann, "split", 1, 0), { error: "nobody to split it between" });
  assert.deepEqual(await call(ann, "split", 1, "x"), { error: "argument 2 is not understood" });
});

scenario("errors that are not for the client stay in the log", async (cleanup) => {
  const ann = await customer(cleanup);
  assert.deepEqual(await call(ann, "fail"), { error: "internal error" });
  await ask("log", "the database at 10.0.0.7 is down");
  // An answer of the wrong type is the client's doing, and is told as little.
  ann.on("confirm", (order, total, answer) => answer("yes please"));
  assert.deepEqual(await call(ann, "order", { item: "tea", count: 1 }), { error: "internal error" });
});

scenario("two arguments", async (cleanup) => {
  assert.equal(await call(await customer(cleanup), "split", 1, 4), 0.25);
});

scenario("binary data, both ways", async (cleanup) => {
  const data = Buffer.from([0, 1, 2, 255]);
  const sum = await call(await customer(cleanup), "sha256", data);
  assert(Buffer.isBuffer(sum));
  assert.deepEqual(sum, createHash("sha256").update(data).digest());
});

scenario("a wrong token is refused, with a reason for the program", async (cleanup) => {
  for (const [auth, message, code] of [
    [{ user: "ann", token: "guess" }, "wrong token", "wrong_token"],
    [undefined, "wrong token", "wrong_token"],
    [{ token: 7 }, "auth is not understood", "bad_auth"],
  ]) {
    const e = await ready(manager(cleanup).socket("/orders", { auth })).then(assert.fail, (e) => e);
    assert.equal(e.message, message);
    assert.deepEqual(e.data, { code });
  }
});

await run();
