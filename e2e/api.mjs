// A program on the public API: what the events of `dynamicio serve` do not show.
// See api_test.go for the server.
import { assert, fresh, Inbox, once, run, scenario, settings } from "./lib/scenario.mjs";
import { call, callAll, connect, manager, ready } from "./lib/v4.mjs";

scenario("the server sees auth, query, headers and address", async (cleanup) => {
  const auth = { token: "t", nested: [1, { a: null }] };
  const m = manager(cleanup, { query: { page: "2 & 3", empty: "" }, extraHeaders: { "X-Test": "header" } });
  const s = await ready(m.socket("/dyn/seen", { auth }));
  assert.deepEqual(await call(s, "who"), {
    auth,
    query: { page: "2 & 3", empty: "" },
    header: "header",
    address: "127.0.0.1",
    id: s.id,
    connection: m.engine.id,
    name: "/dyn/seen",
    group: "seen",
  });
  const other = await ready(m.socket("/dyn/other", { auth: { token: "another" } }));
  assert.deepEqual((await call(other, "who")).auth, { token: "another" });
});

scenario("an event emitted on connection arrives, and after the connect", async (cleanup) => {
  for (let i = 0; i < 20; i++) {
    const s = manager(cleanup).socket("/dyn/greeted");
    const seen = [];
    s.on("connect", () => seen.push("connect"));
    s.on("greeting", (n) => seen.push(n));
    await once(s, "connect");
    await callAll(s, "who");
    assert.deepEqual(seen, ["connect", 1, 2]);
  }
});

scenario("a client that is refused learns why", async (cleanup) => {
  const m = manager(cleanup);
  const s = m.socket("/dyn/private", { auth: { token: "wrong" } });
  const [error] = await once(s, "connect_error");
  assert.equal(error.message, "not you");
  assert.deepEqual(error.data, { code: 17 });
  assert.equal(s.active, false);
  s.auth = { token: "right" };
  s.connect();
  await ready(s);
});

scenario("a namespace whose setup fails is an invalid one, its error is not shown", async (cleanup) => {
  const [error] = await once(manager(cleanup).socket("/dyn/broken"), "connect_error");
  assert.equal(error.message, "Invalid namespace");
});

scenario("io server disconnect: from one namespace", async (cleanup) => {
  const m = manager(cleanup, { reconnection: true });
  const [s, other] = await Promise.all(["/dyn/a", "/dyn/b"].map((nsp) => ready(m.socket(nsp))));
  const gone = once(s, "disconnect");
  s.emit("leave me");
  assert.equal((await gone)[0], "io server disconnect");
  assert.equal(s.active, false); // such a client does not come back by itself
  assert.equal((await call(other, "who")).name, "/dyn/b");
  s.connect();
  await ready(s);
});

scenario("io server disconnect: with the whole connection", async (cleanup) => {
  const m = manager(cleanup);
  const [s, other] = await Promise.all(["/dyn/a", "/dyn/b"].map((nsp) => ready(m.socket(nsp))));
  const gone = [s, other].map((x) => once(x, "disconnect"));
  const closed = once(m, "close");
  s.emit("leave us");
  for (const [reason] of await Promise.all(gone)) assert.equal(reason, "io server disconnect");
  await closed;
});

scenario("the server learns why a client left", async (cleanup) => {
  const watcher = await connect(cleanup, "/dyn/watched");
  const inbox = new Inbox(watcher);
  const leave = {
    "client namespace disconnect": (s) => s.disconnect(),
    "transport close": (s) => s.io.engine.close(),
  };
  for (const [reason, act] of Object.entries(leave)) {
    const s = await connect(cleanup, "/dyn/watched");
    const other = settings.transport !== "polling" && reason.startsWith("client") && (await ready(s.io.socket("/dyn/stay")));
    const { id } = s;
    act(s);
    while (!inbox.events.some((e) => e[1] === id)) await callAll(watcher, "who");
    assert.deepEqual(inbox.events.find((e) => e[1] === id), ["left", id, reason]);
    if (other) assert.equal((await call(other, "who")).name, "/dyn/stay");
  }
});

scenario("the server asks a client and gets its answer", async (cleanup) => {
  const s = await connect(cleanup, "/dyn/asked");
  s.on("question", (n, blob, answer) => answer({ n: n + 1, blob: Buffer.concat([blob, Buffer.from("!")]) }));
  assert.deepEqual(await call(s, "ask me", 41), { n: 42, blob: "binary!" });
});

scenario("the server asks a client that does not answer", async (cleanup) => {
  const s = await connect(cleanup, "/dyn/asked");
  s.on("question", () => {});
  const answer = await call(s, "ask me", 1);
  assert.match(answer.error, /\S/);
});

scenario("the server asks all and gets an answer from each", async (cleanup) => {
  const nsp = fresh("/dyn/all");
  const all = await Promise.all([1, 2, 3].map(() => connect(cleanup, nsp)));
  all.forEach((s, i) => s.on("question", (n, blob, answer) => answer({ n: i * n, blob })));
  assert.deepEqual((await call(all[0], "ask all", 10)).sort(), [0, 10, 20]);
});

scenario("a handler that panics costs that event only", async (cleanup) => {
  const s = await connect(cleanup, "/dyn/panic");
  const { id } = s;
  s.emit("panic");
  assert.equal((await call(s, "who")).id, id);
});

scenario("arguments of the wrong type do not reach the handler", async (cleanup) => {
  const s = await connect(cleanup, "/dyn/typed");
  assert.equal(await call(s, "double", 21), 42);
  s.emit("double", "no number"); // nobody waits for the acknowledgement
  assert.equal(await call(s, "double", 4), 8);
});

await run();
