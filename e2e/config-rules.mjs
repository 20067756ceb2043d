// What namespace rules allow, refuse and bound, as clients see it. The rules are
// in config_test.go.
import { createHmac } from "node:crypto";
import { Agent } from "node:http";
import { assert, fresh, Inbox, run, scenario, settings } from "./lib/scenario.mjs";
import { call, connect } from "./lib/v4.mjs";

const { port } = new URL(settings.url);

// Every host name is this machine's.
const agent = new Agent({
  lookup: (name, options, done) => (options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4)),
});
const at = (host) => ({ url: `http://${host}:${port}`, agent });
const main = at("main.example");

const ok = { ok: true };
const refusal = (error) => ({ ok: false, error });

// enter joins a namespace of the main host.
const enter = (cleanup, nsp, auth) => connect(cleanup, nsp, { ...main, auth });

// refused tells with what words, and which code, a client is kept out.
async function refused(cleanup, nsp, auth, host = main) {
  try {
    await connect(cleanup, nsp, { ...host, auth });
  } catch (e) {
    return [e.message, e.data?.code];
  }
  assert.fail(`${nsp} lets ${JSON.stringify(auth)} in`);
}

const b64 = (v) => Buffer.from(v).toString("base64url");

// jwt signs a token by hand; change may replace claims, or the header with `alg`.
function jwt(change = {}, { key = "0123456789abcdef0123456789abcdef", alg = "HS256" } = {}) {
  const claims = { iss: "login", aud: "chat", sub: "anna", role: "member", exp: Math.floor(Date.now() / 1000) + 600, ...change };
  const text = `${b64(JSON.stringify({ alg, typ: "JWT" }))}.${b64(JSON.stringify(claims))}`;
  return `${text}.${alg === "none" ? "" : createHmac("sha256", key).update(text).digest("base64url")}`;
}

const calls = {
  join: ["join", "room"],
  leave: ["leave", "room"],
  broadcast: ["broadcast", "said"],
  to: ["to", "room", "said"],
  echo: ["echo", 1],
};

for (const allowed of Object.keys(calls)) {
  scenario(`${allowed} is allowed, and nothing else`, async (cleanup) => {
    const nsp = fresh(`/verbs/${allowed}`);
    const socket = await enter(cleanup, nsp);
    const other = await enter(cleanup, nsp);
    const inbox = new Inbox(other);
    for (const [verb, args] of Object.entries(calls)) {
      const room = verb === "join" || verb === "to";
      const want =
        verb !== allowed
          ? refusal(room ? `${verb} is not allowed for the room "room"` : `${verb} is not allowed in this namespace`)
          : verb === "echo"
            ? 1
            : ok;
      assert.deepEqual(await call(socket, ...args), want, verb);
      socket.emit(...args); // nobody waits for the answer
    }
    await call(socket, "echo", 1); // answered in order: all before it has been handled
    await call(other, "echo", 1);
    assert.equal(inbox.named("said").length, allowed === "broadcast" ? 2 : 0);
  });
}

scenario("rooms are those of the rule and of the client's own claims", async (cleanup) => {
  const nsp = fresh("/rooms");
  const anna = await enter(cleanup, nsp, { token: jwt() });
  const bob = await enter(cleanup, nsp, { token: jwt({ sub: "bob" }) });
  for (const room of ["lobby", "game-1", "user-anna"]) assert.deepEqual(await call(anna, "join", room), ok, room);
  for (const room of ["user-bob", "lobby2", "game-x", "user-{sub}", "user-", "<script>"]) {
    assert.deepEqual(await call(anna, "join", room), refusal(`join is not allowed for the room ${JSON.stringify(room)}`));
  }
  const inbox = new Inbox(anna);
  assert.deepEqual(await call(bob, "to", "user-anna", "hello", 1), ok);
  assert.deepEqual(await inbox.until("hello"), ["hello", 1]);
  assert.deepEqual(await call(bob, "to", "lobby", "spam"), refusal(`to is not allowed for the room "lobby"`));
  assert.deepEqual(await call(bob, "broadcast", "spam"), refusal("broadcast is not allowed in this namespace"));
});

scenario("a JWT must be good in every way", async (cleanup) => {
  const nsp = fresh("/rooms");
  const missing = ["a token is required, as auth: {token: ...}", "token_missing"];
  const invalid = ["the token is not accepted", "token_invalid"];
  for (const [what, auth, want] of [
    ["none", undefined, missing],
    ["no token", { user: "anna" }, missing],
    ["a number", { token: 5 }, missing],
    ["nonsense", { token: "nonsense" }, invalid],
    ["another key", { token: jwt({}, { key: "another key, which is as long as it takes" }) }, invalid],
    ["not signed", { token: jwt({}, { alg: "none" }) }, invalid],
    ["expired", { token: jwt({ exp: 1 }) }, ["the token has expired", "token_expired"]],
    ["without an end", { token: jwt({ exp: undefined }) }, invalid],
    ["of another issuer", { token: jwt({ iss: "evil" }) }, invalid],
    ["for another audience", { token: jwt({ aud: "mail" }) }, invalid],
    ["of another role", { token: jwt({ role: "guest" }) }, invalid],
  ]) {
    assert.deepEqual(await refused(cleanup, nsp, auth), want, what);
  }
});

scenario("a token of the list", async (cleanup) => {
  const nsp = fresh("/token");
  assert.deepEqual(await refused(cleanup, nsp), ["a token is required, as auth: {token: ...}", "token_missing"]);
  assert.deepEqual(await refused(cleanup, nsp, { token: "third token" }), ["the token is not accepted", "token_invalid"]);
  for (const token of ["first token", "second token"]) {
    assert.deepEqual(await call(await enter(cleanup, nsp, { token }), "broadcast", "x"), ok);
  }
});

scenario("what no rule matches, or one refuses, is not there", async (cleanup) => {
  for (const nsp of ["/closed", fresh("/unknown"), "/"]) {
    assert.deepEqual(await refused(cleanup, nsp, { token: "first token" }), ["Invalid namespace", undefined]);
  }
});

scenario("no more sockets than there is room for", async (cleanup) => {
  const nsp = fresh("/three");
  const all = await Promise.allSettled(Array.from({ length: 12 }, () => enter(cleanup, nsp)));
  const inside = all.filter((r) => r.status === "fulfilled").map((r) => r.value);
  assert.equal(inside.length, 3);
  assert.deepEqual(await refused(cleanup, nsp), ["the namespace is full", "namespace_full"]);
  inside[0].disconnect();
  for (;;) {
    try {
      await enter(cleanup, nsp);
      break; // the place of the one that left
    } catch (e) {
      assert.equal(e.message, "the namespace is full");
    }
  }
  await enter(cleanup, fresh("/three")); // another namespace has places of its own
});

scenario("rooms, events and their size are bounded", async (cleanup) => {
  const socket = await enter(cleanup, fresh("/limits"));
  assert.deepEqual(await call(socket, "join", "a"), ok);
  assert.deepEqual(await call(socket, "join", "b"), ok);
  assert.deepEqual(await call(socket, "join", "c"), refusal("a socket may be in 2 rooms at most"));
  assert.deepEqual(await call(socket, "echo", "x".repeat(99)), refusal("the event has 101 bytes, at most 100 are allowed"));
  assert.equal(await call(socket, "echo", 1), 1);
  assert.deepEqual(await call(socket, "echo", 1), refusal("too many events: at most 0.001 a second, and 5 at once"));
  assert.equal(socket.connected, true);
});

scenario("an alias is the host that it stands for", async (cleanup) => {
  const nsp = fresh("/tenant");
  const a = await connect(cleanup, nsp, at("tenant.example"));
  const b = await connect(cleanup, nsp, at("www.tenant.example"));
  const c = await connect(cleanup, nsp, at("X.y.Tenant.example"));
  const inboxes = [new Inbox(b), new Inbox(c)];
  await call(a, "broadcast", "hello");
  for (const inbox of inboxes) await inbox.until("hello");
  // The rule is for that host; on others there is no such namespace.
  for (const host of ["main.example", "other.example", "tenant.example.evil"]) {
    assert.deepEqual(await refused(cleanup, nsp, undefined, at(host)), ["Invalid namespace", undefined], host);
  }
  await connect(cleanup, fresh("/any"), at("other.example"));
});

await run();
