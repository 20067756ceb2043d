// Engine.IO protocol 3 against the conformance server: where it differs from
// protocol 4. The client pings; polling bodies are LENGTH:PACKET, or binary.
import { assert, run, scenario, within } from "./lib/scenario.mjs";
import { Closed, Polling, request, Socket } from "./lib/raw.mjs";

const path = "/engine.io/";
const version = 3;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const openText = () => Polling.open(path, { version, extra: "&b64=1" });
const openBinary = () => Polling.open(path, { version });

async function websocket(cleanup) {
  const s = await Socket.open(path, { version });
  cleanup(() => s.close());
  return s;
}

// packet frames one packet: its length in characters as JavaScript counts them, a colon, itself.
const packet = (text) => `${text.length}:${text}`;

// binaryPacket frames one packet for a body with binary in it.
function binaryPacket(type, content) {
  const digits = [...String(content.length)].map(Number);
  return Buffer.concat([Buffer.from([type, ...digits, 255]), content]);
}

function checkOpenPacket(open, upgrades) {
  assert.equal(typeof open.sid, "string");
  assert.deepEqual([open.upgrades, open.pingInterval, open.pingTimeout], [upgrades, 300, 200]);
}

scenario("handshake: polling", async () => {
  for (const extra of ["", "&b64=1"]) {
    const { status, text } = await request(path, { query: `EIO=3&transport=polling${extra}` });
    assert.equal(status, 200);
    const [, length, rest] = /^(\d+):(.*)$/s.exec(text);
    // Socket.IO servers of that time send nothing behind it either.
    assert.equal(rest.length, Number(length));
    assert.equal(rest[0], "0");
    checkOpenPacket(JSON.parse(rest.slice(1)), ["websocket"]);
  }
});

scenario("handshake: WebSocket", async (cleanup) => {
  checkOpenPacket((await websocket(cleanup)).handshake, []);
});

scenario("handshake: version 3 counts only when it says so", async () => {
  for (const query of ["transport=polling", "EIO=&transport=polling", "EIO=03&transport=polling", "EIO=3.0&transport=polling"]) {
    const { status } = await request(path, { query });
    assert.equal(status, 400, query);
  }
});

scenario("polling: text comes back, all of it in one body", async () => {
  const session = await openText();
  const body = packet("4hello") + packet("4test2") + packet("4ü漢🚀");
  const { status, text } = await session.post(body);
  assert.deepEqual([status, text], [200, "ok"]);
  assert.equal((await session.get()).text, body);
});

scenario("polling: binary as base64", async () => {
  const session = await openText();
  const body = packet("4hello") + packet("b4AQIDBA==");
  await session.post(body);
  assert.equal((await session.get()).text, body);
});

scenario("polling: binary as bytes", async () => {
  const session = await openBinary();
  const body = Buffer.concat([
    binaryPacket(0, Buffer.from("4hello")),
    binaryPacket(1, Buffer.from([4, 1, 2, 3, 4])),
    binaryPacket(0, Buffer.from("4ü漢")),
    binaryPacket(1, Buffer.concat([Buffer.from([4]), Buffer.alloc(300, 255)])),
  ]);
  const { status } = await session.post(body, { headers: { "Content-Type": "application/octet-stream" } });
  assert.equal(status, 200);
  const { data, headers } = await session.get();
  assert.equal(headers["content-type"], "application/octet-stream");
  assert.deepEqual(data, body);
});

scenario("polling: text alone is no binary body", async () => {
  const session = await openBinary();
  await session.post(packet("4hello"));
  const { text, headers } = await session.get();
  assert.equal(text, packet("4hello"));
  assert.match(headers["content-type"], /^text\/plain; charset=utf-8$/i);
});

for (const body of ["abc", "3:4", "x:4a", "-1:4", "99999999999999999999:4a", ":", "2:4a2:"]) {
  scenario(`polling: the body ${body} ends the session`, async () => {
    const session = await openText();
    const status = await session.post(body).then((r) => r.status, () => 400); // or the request is cut off
    assert.equal(status, 400);
    assert.equal((await session.get()).status, 400);
  });
}

scenario("polling: a second GET ends the first, and the session", async () => {
  const session = await openText();
  const polls = await Promise.all([session.get(), session.get()]);
  const [first, second] = polls.sort((a, b) => a.status - b.status);
  assert.deepEqual([first.status, first.text], [200, "1:1"]);
  assert([400, 500].includes(second.status), second.status);
  assert.equal((await session.get()).status, 400);
});

scenario("WebSocket: text and binary", async (cleanup) => {
  const s = await websocket(cleanup);
  const blob = Buffer.from([4, 1, 2, 3, 4]);
  s.send("4hello", blob, "4ü漢🚀");
  assert.deepEqual([await s.next(), await s.next(), await s.next()], ["4hello", blob, "4ü漢🚀"]);
});

scenario("WebSocket: a packet of no known type closes it", async (cleanup) => {
  for (const bad of ["abc", Buffer.from([9, 1, 2])]) {
    const s = await websocket(cleanup);
    s.send(bad);
    assert((await s.next()) instanceof Closed);
  }
});

scenario("heartbeat: over polling the server answers a ping", async () => {
  const session = await openText();
  for (let i = 0; i < 3; i++) {
    assert.equal((await session.post("1:2")).status, 200);
    assert.equal((await session.get()).text, "1:3");
  }
});

scenario("heartbeat: over WebSocket the server answers a ping", async (cleanup) => {
  const s = await websocket(cleanup);
  for (let i = 0; i < 3; i++) {
    s.send("2");
    assert.equal(await s.next(), "3");
  }
});

scenario("heartbeat: the server does not ping", async (cleanup) => {
  const s = await websocket(cleanup);
  const ping = setInterval(() => s.send("2"), 100);
  cleanup(() => clearInterval(ping));
  await sleep(1200); // far beyond interval and timeout: a client that pings stays
  assert.deepEqual(new Set(s.frames), new Set(["3"]));
});

scenario("heartbeat: a client that does not ping is dropped", async (cleanup) => {
  const begin = performance.now();
  const [s, session] = await Promise.all([websocket(cleanup), openText()]);
  assert((await s.next()) instanceof Closed);
  assert(performance.now() - begin > 450, "it was dropped early");
  await sleep(500);
  assert.equal((await session.get()).status, 400);
});

scenario("close: over polling the waiting GET gets a noop", async () => {
  const session = await openText();
  const [poll, post] = await Promise.all([session.get(), session.post("1:1")]);
  assert.deepEqual([poll.status, poll.text], [200, "1:6"]);
  assert.deepEqual([post.status, post.text], [200, "ok"]);
  assert.equal((await session.get()).status, 400);
});

scenario("close: over WebSocket it is closed", async (cleanup) => {
  const s = await websocket(cleanup);
  s.send("1");
  assert((await s.next()) instanceof Closed);
});

scenario("upgrade: messages travel over the WebSocket afterwards", async (cleanup) => {
  const session = await openText();
  const s = new Socket(path, `EIO=3&transport=websocket&sid=${session.sid}`);
  cleanup(() => s.close());
  await within(s.opened, "the WebSocket");
  s.send("2probe");
  assert.equal(await s.next(), "3probe");
  const { status, text } = await session.get();
  assert.deepEqual([status, text], [200, "1:6"]);
  await session.post(packet("4queued"));
  s.send("5", "4hello");
  assert.deepEqual([await s.next(), await s.next()], ["4queued", "4hello"]);
  assert.equal((await session.get()).status, 400);
  s.send("4still");
  assert.equal(await s.next(), "4still");
});

await run({ parallel: 4, strict: true });
