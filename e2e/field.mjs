// What clients other than the current JavaScript one send and expect.
import { connect as tcp } from "node:net";
import { assert, once, run, scenario, settings, within } from "./lib/scenario.mjs";
import { Polling, request, Socket } from "./lib/raw.mjs";
import { call, connect } from "./lib/v4.mjs";

const path = "/socket.io/";

// answers polls until n packets have come, and checks that no answer has too many.
async function answers(session, n) {
  const all = [];
  while (all.length < n) {
    const { status, text } = await session.get();
    assert.equal(status, 200, text);
    const packets = text.split("\x1e");
    assert(packets.length <= 16, `${packets.length} packets in one answer`);
    if (packets.includes("2")) await session.post("3");
    all.push(...packets.filter((p) => p !== "2"));
  }
  return all;
}

scenario("a client with subprotocols of its own connects", async (cleanup) => {
  const s = await connect(cleanup, "/", { transports: ["websocket"], protocols: ["any", "other"] });
  assert.equal(s.io.engine.transport.ws.protocol, "any");
  assert.deepEqual(await call(s, "echo", 1), 1);
  const upgraded = await connect(cleanup, "/", { transports: ["polling", "websocket"], protocols: ["any"] });
  if (upgraded.io.engine.transport.name !== "websocket") await once(upgraded.io.engine, "upgrade");
  assert.deepEqual(await call(upgraded, "echo", 2), 2);
});

scenario("attachments in base64 of any kind arrive", async () => {
  const s = await Polling.open(path);
  await s.post("40");
  await answers(s, 1);
  for (const base64 of ["bBw==\n", "bBw", "bB\r\nw="]) {
    assert.equal((await s.post(`451-7["echo",{"_placeholder":true,"num":0}]\x1eb${base64}`)).status, 200);
    assert.deepEqual(await answers(s, 2), ['461-7[{"_placeholder":true,"num":0}]', "bbBw="]);
  }
});

scenario("an answer has as many packets as Python's clients take", async () => {
  const s = await Polling.open(path);
  await s.post("40");
  await answers(s, 1);
  await s.post(Array.from({ length: 50 }, (_, i) => `42${i}["echo",${i}]`).join("\x1e"));
  assert.deepEqual(await answers(s, 50), Array.from({ length: 50 }, (_, i) => `43${i}[${i}]`));
});

scenario("a client that says no EIO speaks revision 3", async () => {
  const { status, text } = await request(path, { query: "transport=polling" });
  assert.equal(status, 200, text);
  assert.match(text, /^\d+:0\{"sid":/);
  const jsonp = await request(path, { query: "EIO=3&transport=polling&j=0" });
  assert.equal(jsonp.status, 400);
  assert.match(jsonp.text, /JSONP/);
});

scenario("a list header may come on two lines", async (cleanup) => {
  const { hostname, port } = new URL(settings.url);
  const conn = tcp(port, hostname);
  cleanup(() => conn.destroy());
  conn.write(
    `GET ${path}?EIO=4&transport=websocket HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: keep-alive\r\nConnection: Upgrade\r\n` +
      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  const [head] = await within(new Promise((resolve) => conn.once("data", (d) => resolve([String(d)]))), "the answer");
  assert.match(head, /^HTTP\/1.1 101 /);
});

scenario("pongs alone keep no session, nor do they pass the bound", async (cleanup) => {
  const s = await Socket.open(path, { version: 3 });
  cleanup(() => s.close());
  s.ws.pause(); // reads nothing
  const ping = "2" + "x".repeat(900_000);
  for (let i = 0; i < 40 && s.ws.readyState === 1; i++) await new Promise((done) => s.ws.send(ping, done));
  s.ws.resume();
  await within(s.closed, "the end");
});

await run();
