// What the server makes of messages, beside what npm's parser makes of them: what that
// one takes and JSON can say comes back the same, what it refuses ends the connection.
import { createRequire } from "node:module";
import { Decoder, Encoder } from "socket.io-msgpack-parser";
import { Closed, Socket } from "./lib/raw.mjs";
import { assert, fresh, run, scenario } from "./lib/scenario.mjs";

const require = createRequire(createRequire(import.meta.url).resolve("socket.io-msgpack-parser"));
const { encode: notepack } = require("notepack.io");

const encode = (packet) => Buffer.from(new Encoder().encode(packet)[0]);

// decode returns the packet, undefined where the parser refuses the message.
function decode(message) {
  let packet;
  const d = new Decoder();
  d.on("decoded", (p) => (packet = p));
  try {
    d.add(message);
  } catch {
    return undefined;
  }
  return packet;
}

// joined opens a WebSocket and joins nsp in msgpack.
async function joined(cleanup, nsp) {
  const s = (await Socket.open("/socket.io/")).answerPings();
  cleanup(() => s.close());
  s.send(encode({ type: 0, data: undefined, nsp }));
  const answer = decode(await s.next());
  assert.deepEqual([answer.type, answer.nsp, Object.keys(answer.data)], [0, nsp, ["sid"]]);
  return s;
}

// ended says whether the connection ends before the echo of a message that follows.
async function ended(s, nsp, ...messages) {
  s.send(...messages, encode({ type: 2, data: ["echo", "after"], id: 999, nsp }));
  for (;;) {
    const next = await s.next();
    if (next instanceof Closed) return true;
    if (decode(next)?.id === 999) return false;
  }
}

// random is the same at every run.
let seed = 20261128;
function random(n) {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((seed / 2 ** 32) * n);
}
const pick = (list) => list[random(list.length)];

function value(depth) {
  switch (random(depth > 4 ? 7 : 9)) {
    case 0: return pick([null, true, false]);
    case 1: return pick([0, 1, -1, -32, -33, 127, 128, 255, 256, 65535, 65536, 2 ** 32, 2 ** 32 - 1, -128, -129, -32768, -32769, -(2 ** 31), -(2 ** 31) - 1]);
    case 2: return (random(2 ** 32) - 2 ** 31) / pick([1, 3, 1e-7, 1e7]);
    case 3: return pick(["", "a", "ä", "😀", "\u0000\u001f\u007f\u2028", '"\\/\b\f\n\r\t', "x".repeat(random(300)), "y".repeat(70000)]);
    case 4: return Buffer.from(Array.from({ length: random(20) }, () => random(256)));
    case 5: return new Date(random(2 ** 32) * 1000 + random(1000));
    case 6: return undefined;
    case 7: return Array.from({ length: random(20) }, () => value(depth + 1));
    default: return Object.fromEntries(Array.from({ length: random(20) }, () => [pick(["a", "ä", "type", "num", "k".repeat(40), ""]) + random(9), value(depth + 1)]));
  }
}

// asJSON is what is left of a value that went by way of JSON, with its binary data.
function asJSON(v) {
  if (Buffer.isBuffer(v)) return v;
  if (v instanceof Date) return v.toJSON();
  if (Array.isArray(v)) return v.map((e) => asJSON(e) ?? null);
  if (v && typeof v === "object") return Object.fromEntries(Object.entries(v).filter(([, e]) => e !== undefined).map(([k, e]) => [k, asJSON(e)]));
  return v;
}

const buffers = (v) => Buffer.isBuffer(v) ? 1 : v && typeof v === "object" ? Object.values(v).reduce((n, e) => n + buffers(e), 0) : 0;

scenario("1,000 random values come back as they were", async (cleanup) => {
  const nsp = fresh("/values");
  const s = await joined(cleanup, nsp);
  for (let id = 0; id < 1000; id++) {
    let args;
    do args = Array.from({ length: random(5) }, () => value(0));
    while (buffers(args) > 10); // more are refused, in JSON too
    s.send(encode({ type: 2, data: ["echo", ...args], options: { compress: true }, id, nsp }));
    const answer = await s.next();
    assert(!(answer instanceof Closed), `closed by ${encode({ args }).toString("hex").slice(0, 2000)}`);
    // By way of the parser, which has faults of its own: it loses integers above 64 bits.
    const sent = decode(encode({ type: 3, data: args, id, nsp }));
    assert.deepEqual(decode(answer), { type: 3, data: asJSON(sent.data), nsp, id });
  }
});

const nsp = "/packets";
const refused = {
  "no map": [null, 1, "x", [], true, Buffer.from("x")],
  "no type": [{ nsp }, { type: undefined, nsp }, { type: null, nsp }, { type: "2", data: ["e"], nsp }],
  "an unknown type": [{ type: 5, data: ["e"], nsp }, { type: -1, nsp }, { type: 1.5, nsp }, { type: 6, data: ["e"], id: 1, nsp }],
  "no namespace": [{ type: 2, data: ["e"] }, { type: 2, data: ["e"], nsp: null }, { type: 2, data: ["e"], nsp: 1 }],
  "an event without its array": [{ type: 2, nsp }, { type: 2, data: "e", nsp }, { type: 2, data: { 0: "e" }, nsp }, { type: 2, data: Buffer.from("e"), nsp }],
  "an acknowledgement without its array": [{ type: 3, id: 1, nsp }, { type: 3, id: 1, data: null, nsp }],
  "a CONNECT whose data is no object": [{ type: 0, data: null, nsp }, { type: 0, data: [], nsp }, { type: 0, data: "x", nsp }, { type: 0, data: new Date(0), nsp }],
  "a DISCONNECT with data": [{ type: 1, data: {}, nsp }, { type: 1, data: null, nsp }],
  "an id that is no integer": [{ type: 2, data: ["e"], id: null, nsp }, { type: 2, data: ["e"], id: "1", nsp }, { type: 2, data: ["e"], id: 1.5, nsp }],
};
for (const [what, packets] of Object.entries(refused)) {
  scenario(`refused by both: ${what}`, async (cleanup) => {
    for (const packet of packets) {
      const message = Buffer.from(notepack(packet));
      assert.equal(decode(message), undefined, `the parser takes ${message.toString("hex")}`);
      assert(await ended(await joined(cleanup, nsp), nsp, message), `taken: ${message.toString("hex")}`);
    }
  });
}

// What the parser lets through, but not the one for JSON, and what JSON has no words for.
const stricter = {
  "reserved names": ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"].map((e) => ({ type: 2, data: [e], nsp })),
  "events without a name": [{ type: 2, data: [], nsp }, { type: 2, data: [null], nsp }, { type: 2, data: [{}], nsp }],
  "names of namespaces": [{ type: 0, nsp: "" }, { type: 0, nsp: "x" }, { type: 0, nsp: "/a,b" }],
  "a negative id": [{ type: 2, data: ["echo"], id: -1, nsp }],
  "eleven attachments": [{ type: 2, data: ["echo", ...Array(11).fill(Buffer.from("x"))], nsp }],
  "what looks like an attachment": [{ type: 2, data: ["echo", Buffer.from("x"), { _placeholder: true, num: 0 }], nsp }],
  "a CONNECT_ERROR": [{ type: 4, data: "x", nsp }],
  "513 levels": [{ type: 2, data: ["echo", Array(512).fill().reduce((v) => [v], [])], nsp }],
};
for (const [what, packets] of Object.entries(stricter)) {
  scenario(`refused by the server alone: ${what}`, async (cleanup) => {
    for (const packet of packets) {
      assert(decode(encode(packet)));
      assert(await ended(await joined(cleanup, nsp), nsp, encode(packet)), `taken: ${encode(packet).toString("hex").slice(0, 200)}`);
    }
  });
}

scenario("what the parser refuses of 500 damaged messages, the server does", async (cleanup) => {
  const bystander = await joined(cleanup, nsp);
  let both = 0;
  for (let i = 0; i < 500; i++) {
    const message = encode({ type: 2, data: ["echo", value(3), value(3)], id: random(300), nsp });
    for (let n = 1 + random(3); n > 0; n--) message[random(Math.min(message.length, 64))] = pick([random(256), 0xc1, 0xd4, 0xdf, 0xff, 0x80]);
    const cut = random(4) ? message : message.subarray(0, random(message.length));
    if (decode(cut) !== undefined) continue;
    both++;
    assert(await ended(await joined(cleanup, nsp), nsp, cut), `taken: ${cut.toString("hex").slice(0, 2000)}`);
  }
  assert(both > 200, `the parser refuses only ${both}`);
  assert.equal(await ended(bystander, nsp), false);
});

scenario("text from who speaks msgpack, and msgpack from who speaks text, end the connection", async (cleanup) => {
  assert(await ended(await joined(cleanup, nsp), nsp, `42${nsp},["echo"]`));
  const s = await Socket.open("/socket.io/");
  cleanup(() => s.close());
  s.send(`40${nsp},`);
  await s.next();
  s.send(encode({ type: 2, data: ["echo"], id: 1, nsp }));
  assert((await s.next()) instanceof Closed);
});

await run();
