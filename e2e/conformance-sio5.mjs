// Socket.IO protocol 5 against the conformance server, byte for byte: what a
// client sends, and what has to come back.
import { assert, run, scenario } from "./lib/scenario.mjs";
import { Closed, Polling, request, Socket } from "./lib/raw.mjs";

const path = "/socket.io/";

async function open(cleanup) {
  const s = await Socket.open(path);
  cleanup(() => s.close());
  return s.answerPings();
}

// join sends a CONNECT and takes the answer and the `auth` event behind it.
// The answer holds the id and nothing else.
async function join(s, connect = "40", nsp = "", auth = {}) {
  s.send(connect);
  const answer = await s.next();
  const head = `40${nsp}`;
  assert(String(answer).startsWith(head), String(answer));
  const payload = JSON.parse(answer.slice(head.length));
  assert.deepEqual(Object.keys(payload), ["sid"]);
  assert.match(payload.sid, /^\S+$/);
  assert.equal(await s.next(), `42${nsp}["auth",${JSON.stringify(auth)}]`);
  return payload.sid;
}

async function joined(cleanup) {
  const s = await open(cleanup);
  await join(s);
  return s;
}

scenario("handshake: the settings are those of the suites", async () => {
  const { text } = await request(path, { query: "EIO=4&transport=polling" });
  const { sid, ...rest } = JSON.parse(text.slice(1));
  assert.equal(typeof sid, "string");
  assert.deepEqual(rest, { upgrades: ["websocket"], pingInterval: 300, pingTimeout: 200, maxPayload: 1_000_000 });
});

scenario("connect: to the main namespace", async (cleanup) => {
  const s = await open(cleanup);
  const id = await join(s);
  assert.notEqual(id, s.handshake.sid); // SEMANTICS 0.4
});

scenario("connect: to the main namespace, with auth", async (cleanup) => {
  await join(await open(cleanup), '40{"token":"123"}', "", { token: "123" });
});

scenario("connect: to a custom namespace", async (cleanup) => {
  await join(await open(cleanup), "40/custom,", "/custom,");
});

scenario("connect: to a custom namespace, without the comma", async (cleanup) => {
  await join(await open(cleanup), "40/custom", "/custom,");
});

scenario("connect: to a custom namespace, with auth", async (cleanup) => {
  const auth = { token: "abc", nested: [1, { a: "<&>" }] };
  await join(await open(cleanup), `40/custom,${JSON.stringify(auth)}`, "/custom,", auth);
});

scenario("connect: to both, with ids of their own", async (cleanup) => {
  const s = await open(cleanup);
  assert.notEqual(await join(s), await join(s, "40/custom,", "/custom,"));
});

scenario("connect: to a namespace that is refused", async (cleanup) => {
  const s = await open(cleanup);
  s.send("40/random");
  assert.equal(await s.next(), '44/random,{"message":"Invalid namespace"}');
  await join(s); // the connection lives on
});

scenario("connect: over polling, the answer first and the event second", async () => {
  const session = await Polling.open(path);
  await session.post("40");
  let body = "";
  while (body.split("\x1e").filter((p) => p !== "2").length < 2) body += (body && "\x1e") + (await session.get()).text;
  const packets = body.split("\x1e").filter((p) => p !== "2");
  assert.match(packets[0], /^40\{"sid":"[^"]+"\}$/);
  assert.equal(packets[1], '42["auth",{}]');
});

scenario("connect: a client that says nothing is closed", async (cleanup) => {
  const begin = performance.now();
  const s = await open(cleanup); // answers pings: it is not the heartbeat that ends it
  assert((await s.next()) instanceof Closed);
  const took = performance.now() - begin;
  assert(took > 900, `closed after ${took} ms`);
});

scenario("connect: a client that was refused and says nothing more is closed", async (cleanup) => {
  const s = await open(cleanup);
  s.send("40/random");
  assert.match(await s.next(), /^44/);
  assert((await s.next()) instanceof Closed);
});

scenario("connect: a client that joined in time stays", async (cleanup) => {
  const s = await joined(cleanup);
  await new Promise((resolve) => setTimeout(resolve, 1300)); // beyond the connect timeout
  s.send('42["message","still"]');
  assert.equal(await s.next(), '42["message-back","still"]');
});

scenario("disconnect: from the main namespace, the connection lives on", async (cleanup) => {
  const s = await joined(cleanup);
  s.heartbeat = false;
  s.send("41");
  assert.equal(await s.next(), "2");
  s.send("3");
  s.answerPings();
  await join(s); // and can be joined again
});

scenario("disconnect: from a custom namespace, the main one goes on", async (cleanup) => {
  const s = await joined(cleanup);
  await join(s, "40/custom", "/custom,");
  s.send("41/custom", '42["message","message to main namespace"]');
  assert.equal(await s.next(), '42["message-back","message to main namespace"]');
});

const events = {
  "plain text": ['42["message",1,"2",{"3":[true]}]', '42["message-back",1,"2",{"3":[true]}]'],
  "no arguments": ['42["message"]', '42["message-back"]'],
  "numbers as they are": ['42["message",1,1.5,-0.25,12345678901234567890,1e3]', '42["message-back",1,1.5,-0.25,12345678901234567890,1e3]'],
  "an acknowledgement": ['42456["message-with-ack",1,"2",{"3":[false]}]', '43456[1,"2",{"3":[false]}]'],
  "an acknowledgement with number 0": ['420["message-with-ack"]', "430[]"],
};

for (const [what, [sent, back]] of Object.entries(events)) {
  scenario(`event: ${what}`, async (cleanup) => {
    const s = await joined(cleanup);
    s.send(sent);
    const got = await s.next();
    // A number may be written in another way, if it means the same.
    if (what.startsWith("numbers")) assert.deepEqual(JSON.parse(got.slice(2)), JSON.parse(back.slice(2)));
    else assert.equal(got, back);
  });
}

const text = JSON.stringify("<script>&amp;\u2028 ü漢🚀");

scenario("event: text that HTML and JSON treat alike", async (cleanup) => {
  const s = await joined(cleanup);
  s.send(`42["message",${text}]`);
  const got = await s.next();
  assert(got.startsWith('42["message-back",'), got);
  assert.equal(JSON.parse(got.slice(2))[1], JSON.parse(text));
});

const placeholders = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';
const blobs = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];

scenario("event: binary", async (cleanup) => {
  const s = await joined(cleanup);
  s.send(`452-["message",${placeholders}]`, ...blobs);
  assert.deepEqual([await s.next(), await s.next(), await s.next()], [`452-["message-back",${placeholders}]`, ...blobs]);
});

scenario("event: binary with an acknowledgement", async (cleanup) => {
  const s = await joined(cleanup);
  s.send(`452-789["message-with-ack",${placeholders}]`, ...blobs);
  assert.deepEqual([await s.next(), await s.next(), await s.next()], [`462-789[${placeholders}]`, ...blobs]);
});

scenario("event: binary over polling", async () => {
  const session = await Polling.open(path);
  await session.post("40");
  await session.get();
  await session.post(`451-["message",{"_placeholder":true,"num":0}]\x1ebAQID`);
  const packets = [];
  while (!packets.includes("bAQID")) {
    const { status, text } = await session.get();
    assert.equal(status, 200);
    packets.push(...text.split("\x1e"));
    if (packets.includes("2")) await session.post("3");
  }
  const at = packets.indexOf("bAQID");
  assert.equal(packets[at - 1], '451-["message-back",{"_placeholder":true,"num":0}]');
});

for (const frame of ["4abc", "42{}", '42abc["message"]', "42abc[{}]"]) {
  scenario(`invalid: ${frame} closes the connection`, async (cleanup) => {
    const s = await joined(cleanup);
    s.send(frame);
    assert((await s.next()) instanceof Closed);
  });
}

scenario("invalid: 4abc as the first packet closes the connection", async (cleanup) => {
  const s = await open(cleanup);
  s.send("4abc");
  const begin = performance.now();
  assert((await s.next()) instanceof Closed);
  assert(performance.now() - begin < 900, "it was the connect timeout that closed it");
});

await run({ parallel: 4, strict: true });
