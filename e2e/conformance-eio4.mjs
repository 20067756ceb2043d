// Engine.IO protocol 4 against the conformance server, which echoes each
// message at /engine.io/ and pings every 300 ms, for 200 ms at most. One case for
// each statement of the protocol that a client can see.
import { assert, run, scenario, within } from "./lib/scenario.mjs";
import { Closed, Polling, request, Socket } from "./lib/raw.mjs";

const path = "/engine.io/";
const gone = { code: 1, message: "Session ID unknown" };
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function websocket(cleanup) {
  const s = await Socket.open(path);
  cleanup(() => s.close());
  return s;
}

// alive is a WebSocket that answers the pings.
async function alive(cleanup) {
  return (await websocket(cleanup)).answerPings();
}

// isGone checks that the server has forgotten a session.
async function isGone(session) {
  const { status, text } = await session.get();
  assert.equal(status, 400);
  assert.deepEqual(JSON.parse(text), gone);
}

function checkOpenPacket(open, upgrades) {
  assert.deepEqual(Object.keys(open).sort(), ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"]);
  assert.equal(typeof open.sid, "string");
  assert.deepEqual({ ...open, sid: "" }, { sid: "", upgrades, pingInterval: 300, pingTimeout: 200, maxPayload: 1_000_000 });
}

// --- handshake

scenario("handshake: polling opens with exactly the open packet", async () => {
  const { status, text, headers } = await request(path, { query: "EIO=4&transport=polling" });
  assert.equal(status, 200);
  assert.match(headers["content-type"], /^text\/plain; charset=utf-8$/i);
  assert.equal(text[0], "0");
  checkOpenPacket(JSON.parse(text.slice(1)), ["websocket"]);
});

scenario("handshake: WebSocket opens with the open packet, without upgrades", async (cleanup) => {
  checkOpenPacket((await websocket(cleanup)).handshake, []);
});

scenario("handshake: session ids differ", async () => {
  const sessions = await Promise.all(Array.from({ length: 20 }, () => Polling.open(path)));
  assert.equal(new Set(sessions.map((s) => s.sid)).size, 20);
});

const faults = {
  "no version": ["transport=polling", 5, "Unsupported protocol version"],
  "a version that is no number": ["EIO=abc&transport=polling", 5, "Unsupported protocol version"],
  "a version that does not exist": ["EIO=5&transport=polling", 5, "Unsupported protocol version"],
  "no transport": ["EIO=4", 0, "Transport unknown"],
  "an unknown transport": ["EIO=4&transport=carrier-pigeon", 0, "Transport unknown"],
  "an unknown session": ["EIO=4&transport=polling&sid=nobody", 1, "Session ID unknown"],
};

for (const [what, [query, code, message]] of Object.entries(faults)) {
  scenario(`handshake: ${what} gets 400`, async () => {
    const { status, text } = await request(path, { query });
    assert.equal(status, 400);
    assert.deepEqual(JSON.parse(text), { code, message });
  });

  scenario(`handshake: ${what} is refused over WebSocket`, async (cleanup) => {
    const s = new Socket(path, query.replace("polling", "websocket"));
    cleanup(() => s.close());
    assert((await s.next()) instanceof Closed);
    assert.notEqual(s.ws.readyState, 1);
  });
}

for (const method of ["POST", "PUT"]) {
  scenario(`handshake: ${method} without a session gets 400`, async () => {
    const { status, text } = await request(path, { method, query: "EIO=4&transport=polling" });
    assert.equal(status, 400);
    assert.deepEqual(JSON.parse(text), { code: 2, message: "Bad handshake method" });
  });
}

// --- messages over polling

scenario("polling: a message comes back", async () => {
  const session = await Polling.open(path);
  const { status, text } = await session.post("4hello");
  assert.deepEqual([status, text], [200, "ok"]);
  const answer = await session.get();
  assert.deepEqual([answer.status, answer.text], [200, "4hello"]);
});

scenario("polling: a GET that waits gets the message at once", async () => {
  const session = await Polling.open(path);
  const poll = session.get();
  await session.post("4hello");
  assert.equal((await poll).text, "4hello");
});

scenario("polling: all that is queued comes in one body", async () => {
  const session = await Polling.open(path);
  const body = "4test1\x1e4test2\x1e4test3";
  await session.post(body);
  assert.equal((await session.get()).text, body);
  await session.post("4a");
  await session.post("4b\x1e4ü漢🚀");
  assert.equal((await session.get()).text, "4a\x1e4b\x1e4ü漢🚀");
});

scenario("polling: binary travels as base64", async () => {
  const session = await Polling.open(path);
  const body = "4hello\x1ebAQIDBA==";
  await session.post(body);
  const { text, headers } = await session.get();
  assert.equal(text, body);
  assert.match(headers["content-type"], /^text\/plain/);
});

scenario("polling: a body that is no packet ends the session", async () => {
  const session = await Polling.open(path);
  const status = await session.post("abc").then((r) => r.status, () => 400); // or the request is cut off
  assert.equal(status, 400);
  await isGone(session);
});

scenario("polling: a second GET ends the first, and the session", async () => {
  const session = await Polling.open(path);
  const polls = await Promise.all([session.get(), session.get()]);
  const [first, second] = polls.sort((a, b) => a.status - b.status); // whichever the server saw first
  assert.deepEqual([first.status, first.text], [200, "1"]);
  assert([400, 500].includes(second.status), second.status);
  await isGone(session);
});

scenario("polling: a GET that the client cancels ends the session", async () => {
  const session = await Polling.open(path);
  const controller = new AbortController();
  const poll = session.get({ signal: controller.signal });
  setTimeout(() => controller.abort(), 50);
  await assert.rejects(poll);
  assert.equal((await session.get()).status, 400);
});

// --- messages over WebSocket

scenario("WebSocket: text and binary come back in order", async (cleanup) => {
  const s = await alive(cleanup);
  const blob = Buffer.from([1, 2, 3, 4]);
  s.send("4hello", blob, "4ü漢🚀", Buffer.alloc(0), "4");
  for (const want of ["4hello", blob, "4ü漢🚀", Buffer.alloc(0), "4"]) assert.deepEqual(await s.next(), want);
});

scenario("WebSocket: a packet of no known type closes it", async (cleanup) => {
  const s = await alive(cleanup);
  s.send("abc");
  assert((await s.next()) instanceof Closed);
});

// --- heartbeat

scenario("heartbeat: polling, three rounds", async () => {
  let begin = performance.now();
  const session = await Polling.open(path);
  for (let i = 0; i < 3; i++) {
    const { status, text } = await session.get();
    assert.deepEqual([status, text], [200, "2"]);
    assert(performance.now() - begin > 280, "a ping came early");
    begin = performance.now();
    assert.equal((await session.post("3")).status, 200);
  }
});

scenario("heartbeat: WebSocket, three rounds", async (cleanup) => {
  let begin = performance.now();
  const s = await websocket(cleanup);
  for (let i = 0; i < 3; i++) {
    assert.equal(await s.next(), "2");
    assert(performance.now() - begin > 280, "a ping came early");
    begin = performance.now();
    s.send("3");
  }
});

scenario("heartbeat: a WebSocket without a pong is closed", async (cleanup) => {
  const s = await websocket(cleanup);
  assert.equal(await s.next(), "2");
  const begin = performance.now();
  assert((await s.next()) instanceof Closed);
  assert(performance.now() - begin > 150, "it was closed early");
});

scenario("heartbeat: a polling session without a pong is gone, though nobody polled for the ping", async () => {
  const session = await Polling.open(path);
  await sleep(1000); // due at 500
  await isGone(session);
});

scenario("heartbeat: messages are no pong", async (cleanup) => {
  const s = await websocket(cleanup);
  const chatter = setInterval(() => s.send("4x"), 50);
  cleanup(() => clearInterval(chatter));
  const frames = [];
  do frames.push(await s.next());
  while (!(frames.at(-1) instanceof Closed));
  assert.equal(frames.filter((f) => f === "2").length, 1);
});

// --- close

scenario("close: over polling the waiting GET gets a noop", async () => {
  const session = await Polling.open(path);
  const [poll, post] = await Promise.all([session.get(), session.post("1")]);
  assert.deepEqual([poll.status, poll.text], [200, "6"]);
  assert.deepEqual([post.status, post.text], [200, "ok"]);
  await isGone(session);
});

scenario("close: over WebSocket it is closed", async (cleanup) => {
  const s = await alive(cleanup);
  s.send("1");
  assert((await s.next()) instanceof Closed);
});

// --- upgrade

// probed opens a polling session and a WebSocket that has probed.
async function probed(cleanup) {
  const session = await Polling.open(path);
  const s = new Socket(path, `EIO=4&transport=websocket&sid=${session.sid}`);
  cleanup(() => s.close());
  await within(s.opened, "the WebSocket");
  s.send("2probe");
  assert.equal(await s.next(), "3probe");
  return [session, s.answerPings()];
}

async function echoes(s, message) {
  s.send(message);
  assert.equal(await s.next(), message);
}

scenario("upgrade: messages travel over the WebSocket afterwards", async (cleanup) => {
  const [, s] = await probed(cleanup);
  s.send("5");
  await echoes(s, "4hello");
});

scenario("upgrade: a GET between probe and upgrade gets a noop", async (cleanup) => {
  const [session, s] = await probed(cleanup);
  const { status, text } = await session.get();
  assert.deepEqual([status, text], [200, "6"]);
  s.send("5");
  await echoes(s, "4hello");
});

scenario("upgrade: what was queued comes first", async (cleanup) => {
  const [session, s] = await probed(cleanup);
  await session.post("4first\x1ebAQIDBA==");
  s.send("5", "4last");
  assert.deepEqual([await s.next(), await s.next(), await s.next()], ["4first", Buffer.from([1, 2, 3, 4]), "4last"]);
});

scenario("upgrade: a GET afterwards gets 400, the WebSocket lives on", async (cleanup) => {
  const [session, s] = await probed(cleanup);
  s.send("5");
  assert.equal((await session.get()).status, 400);
  await echoes(s, "4hello");
});

scenario("upgrade: a second WebSocket is closed, the first lives on", async (cleanup) => {
  const [session, s] = await probed(cleanup);
  s.send("5");
  const second = new Socket(path, `EIO=4&transport=websocket&sid=${session.sid}`);
  cleanup(() => second.close());
  assert((await second.next()) instanceof Closed);
  await echoes(s, "4hello");
});

scenario("upgrade: one that probes and goes away leaves the session on polling", async (cleanup) => {
  const [session, s] = await probed(cleanup);
  s.close();
  await session.post("4hello");
  let { text } = await session.get();
  if (text === "6") ({ text } = await session.get()); // of the probe
  assert.equal(text, "4hello");
});

await run({ parallel: 4, strict: true });
