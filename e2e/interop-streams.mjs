// Servers with @socket.io/redis-streams-adapter in the same Redis as our nodes: `serve` has their prefix,
// `apart` is in a cluster with a prefix of its own.
import { assert, fresh, run, scenario } from "./lib/scenario.mjs";
import { eventually, Peer, urls } from "./interop-peers.mjs";

const serve = new Peer("serve", urls.serve, "ours");
const apart = new Peer("apart", urls.apart, "ours");
const one = new Peer("one", urls.one, "node");
const two = new Peer("two", urls.two, "node");

const fetched = async (ns) => (await one.do("fetch", { ns })).length;
const problems = async (peer) => (await (await fetch(`${peer.url}/socket.io/status.json`)).json()).problems.join("\n");
const foreign = async (peer) => {
  const metrics = await (await fetch(`${peer.url}/metrics`)).text();
  return Number(/bus_dropped_messages_total\{[^}]*reason="foreign"[^}]*\} (\d+)/.exec(metrics)[1]);
};

// both brings a client to each of the two, which then count two servers.
async function both(cleanup) {
  const ns = fresh("/streams");
  const clients = [await one.client(cleanup, ns), await two.client(cleanup, ns)];
  await eventually("both servers are counted", async () => (await one.outcome("fetch", { ns })).value?.length === 2);
  return { ns, clients };
}

scenario("a cluster with a prefix of its own is in nobody's way", async (cleanup) => {
  const { ns, clients } = await both(cleanup);
  const ours = await apart.client(cleanup, ns);
  assert.equal(await fetched(ns), 2);
  await one.do("emit", { ns, event: "theirs" });
  for (const c of clients) await c.inbox.until("theirs");
  ours.socket.emit("broadcast", "ours");
  ours.socket.emit("echo", "end");
  await ours.inbox.until("echo");
  assert.deepEqual(ours.inbox.named("theirs"), []);
  assert.equal(await foreign(apart), 0);
  assert.doesNotMatch(await problems(apart), /adapter|prefix/);
});

scenario("under one prefix they are named, counted and on the status page", async (cleanup) => {
  const { ns, clients } = await both(cleanup);
  const ours = await serve.client(cleanup, ns);
  const { error } = await one.outcome("fetch", { ns }); // it counts our node, too
  assert.match(error ?? "no error", /responses received/);
  await one.outcome("serverSideAck", { ns, event: "ask" });
  await one.outcome("emitAck", { ns, event: "question", timeout: 200 });
  await eventually("three are counted", async () => (await foreign(serve)) >= 3);
  await eventually("the status says it", async () => (await problems(serve)).includes("@socket.io/redis-streams-adapter"));
  assert.match(await problems(serve), /channelPrefix.*--bus-prefix/);
  // What our node says does no harm there.
  ours.socket.emit("broadcast", "ours", 1);
  await one.do("emit", { ns, event: "theirs" });
  for (const c of clients) await c.inbox.until("theirs");
  assert.deepEqual(ours.inbox.named("theirs"), []);
});

await run();
