// A client that stays while the rules of its node change. The test writes the
// file and sends SIGHUP, and waits for what the log says.
import { ask, assert, deadline, fresh, Inbox, run, scenario, settings, within } from "./lib/scenario.mjs";
import { call, connect } from "./lib/v4.mjs";

const ok = { ok: true };
const reload = (text) => ask("hangup", text, "configuration reloaded");
const wrong = (text) => ask("hangup", text, "configuration not reloaded");

async function refused(cleanup, nsp, auth) {
  try {
    await connect(cleanup, nsp, { auth });
  } catch (e) {
    return e.message;
  }
  assert.fail(`${nsp} lets ${JSON.stringify(auth)} in`);
}

const live = async () => {
  const res = await fetch(`${settings.url}/socket.io/status.json`);
  return (await res.json()).namespaces.map((n) => n.fullname);
};

scenario("rules change, and the client stays", async (cleanup) => {
  const nsp = fresh("/room");
  const socket = await connect(cleanup, nsp);
  const id = socket.id;
  const other = await connect(cleanup, nsp);
  const inbox = new Inbox(other);
  assert.deepEqual(await call(socket, "broadcast", "first"), ok);

  await reload(`namespaces:\n  - match: /^\\/room-/\n    allow: [echo]\n    connect: {tokens: [sesame]}\n`);
  const no = { ok: false, error: "broadcast is not allowed in this namespace" };
  assert.deepEqual(await call(socket, "broadcast", "second"), no);
  assert.equal(await call(socket, "echo", 1), 1);
  assert.match(await refused(cleanup, nsp), /a token is required/);
  assert.match(await refused(cleanup, fresh("/other"), { token: "sesame" }), /Invalid namespace/);
  await connect(cleanup, nsp, { auth: { token: "sesame" } });

  // Each of these changes nothing.
  for (const text of [
    "namespaces:\n  - match: x\n",
    "namespaces: [\n",
    "nonsense: 1\nnamespaces: []\n",
    "namespaces: []\n", // each of these would open what was guarded, and does not say that it is meant
    "path: /elsewhere\n",
    "",
    `namespaces:\n  - match: /^\\/room-/\n`,
    "retirement: 10\n",
    "listen: nowhere\nnode-ttl: 0s\n",
  ]) {
    await wrong(text);
    assert.deepEqual(await call(socket, "broadcast", "third"), no, text);
    assert.match(await refused(cleanup, nsp), /a token is required/, text);
  }

  // Everything is allowed again; the path needs a restart.
  await reload("path: /elsewhere\nnamespaces: [{match: '*', connect: none, allow: all}]\n");
  assert.deepEqual(await call(socket, "broadcast", "fourth"), ok);
  await connect(cleanup, fresh("/other"));
  await inbox.until("fourth");
  assert.deepEqual(inbox.events.map((e) => e[0]), ["first", "fourth"]);
  assert.deepEqual([socket.connected, socket.id, other.connected], [true, id, true]);
});

scenario("a namespace that is refused keeps who is inside, and lets nobody in", async (cleanup) => {
  await reload("");
  const nsp = fresh("/room");
  const socket = await connect(cleanup, nsp);
  await reload(`namespaces: [{match: "*", refuse: true}]`);
  assert.deepEqual(await call(socket, "echo", 1), { ok: false, error: "the namespace is refused by now" });
  assert.match(await refused(cleanup, nsp), /Invalid namespace/);
  await wrong("");
  await reload(`namespaces: [{match: "*", refuse: false}]`);
  assert.equal(await call(socket, "echo", 1), 1);
});

scenario("an empty namespace is retired by its new time", async (cleanup) => {
  await reload("namespaces: [{match: '*', retirement: never}]");
  const nsp = fresh("/room");
  (await connect(cleanup, nsp)).disconnect();
  assert((await live()).includes(nsp));
  await reload("retirement: 100ms");
  const gone = async () => {
    while ((await live()).includes(nsp)) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await within(gone(), `the end of ${nsp}`, deadline);
});

await run();
