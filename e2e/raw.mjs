// What no client library sends. Each case has a bystander, an ordinary client in
// the same namespace, to whom nothing may happen.
import { connect as tcp } from "node:net";
import { assert, fresh, run, scenario, settings, within } from "./lib/scenario.mjs";
import { Closed, Polling, request, Socket } from "./lib/raw.mjs";
import { call, callAll, connect } from "./lib/v4.mjs";

const path = "/socket.io/";

// attack runs fn beside a bystander.
function attack(name, fn) {
  scenario(name, async (cleanup) => {
    const nsp = fresh("/raw");
    const bystander = await connect(cleanup, nsp);
    let lost;
    bystander.on("disconnect", (reason) => (lost = reason));
    await fn(cleanup, nsp, bystander);
    assert.deepEqual(await callAll(bystander, "echo", "unharmed"), ["unharmed"]);
    assert.equal(lost, undefined, "the bystander was disconnected");
  });
}

// joined opens a WebSocket and joins nsp over it.
async function joined(cleanup, nsp) {
  const s = await Socket.open(path);
  cleanup(() => s.close());
  s.send(`40${nsp},`);
  const answer = await s.next();
  assert(String(answer).startsWith(`40${nsp},{"sid":`), String(answer));
  return s;
}

// closes checks that the frames end the connection, unanswered.
async function closes(s, ...frames) {
  s.send(...frames);
  const next = await s.next();
  assert(next instanceof Closed, `answered with ${String(next).slice(0, 100)}`);
}

const reserved = ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
for (const event of reserved) {
  attack(`the reserved event ${event} closes the connection`, async (cleanup, nsp) => {
    await closes(await joined(cleanup, nsp), `42${nsp},["${event}"]`);
  });
}

// N stands for the namespace.
const malformed = {
  "no packet type": ["4"],
  "an unknown packet type": ["47"],
  "a packet type that is no digit": ["4abc"],
  "an event without arguments": ["42N,"],
  "an event whose payload is no array": ["42N,{}"],
  "an event without a name": ["42N,[]"],
  "an event whose name is null": ["42N,[null]"],
  "an event that is no JSON": ['42N,["x"'],
  "an event with something behind its JSON": ['42N,["x"]]'],
  "an acknowledgement whose payload is no array": ["43N,1{}"],
  "a count of attachments that is no number": ['45x-N,["x"]'],
  "a count of attachments without a dash": ['451N,["x"]'],
  "text where an attachment is due": ['451-N,["x",{"_placeholder":true,"num":0}]', '42N,["x"]'],
  "an attachment that was not announced": [Buffer.from("x")],
  "a placeholder of an attachment that does not come": ['451-N,["echo",{"_placeholder":true,"num":1}]', Buffer.from("x")],
  "a placeholder with a negative number": ['451-N,["echo",{"_placeholder":true,"num":-1}]', Buffer.from("x")],
  "an unknown Engine.IO packet type": ["9"],
  "an empty frame": [""],
};

for (const [what, frames] of Object.entries(malformed)) {
  attack(`closes the connection: ${what}`, async (cleanup, nsp) => {
    const s = await joined(cleanup, nsp);
    await closes(s, ...frames.map((f) => (typeof f === "string" ? f.replace("N", nsp) : f)));
  });
}

attack("closes the connection: an event before any CONNECT", async (cleanup, nsp) => {
  const s = await Socket.open(path);
  cleanup(() => s.close());
  await closes(s, `42${nsp},["echo","x"]`);
});

attack("closes the connection: a billion attachments", async (cleanup, nsp) => {
  await closes(await joined(cleanup, nsp), `451000000000-${nsp},["x",{"_placeholder":true,"num":0}]`);
});

attack("closes the connection: a frame beyond maxPayload", async (cleanup, nsp) => {
  const s = await joined(cleanup, nsp);
  assert.equal(s.handshake.maxPayload, 1_000_000);
  await closes(s, `42${nsp},["echo","${"x".repeat(1_000_001)}"]`);
});

attack("closes the connection: text that is not UTF-8", async (cleanup, nsp) => {
  const s = await joined(cleanup, nsp);
  s.ws.send(Buffer.concat([Buffer.from(`42${nsp},["echo","`), Buffer.from([0xff, 0xfe]), Buffer.from('"]')]), { binary: false });
  assert((await s.next()) instanceof Closed);
});

attack("a deeply nested argument does no harm", async (cleanup, nsp) => {
  const s = await joined(cleanup, nsp);
  const depth = 200_000;
  s.send(`42${nsp},1["echo",${"[".repeat(depth)}${"]".repeat(depth)}]`);
  const answer = await s.next(); // taken or refused, both are well
  assert(answer instanceof Closed || answer.startsWith(`43${nsp},1[[[[`), String(answer).slice(0, 100));
});

attack("an acknowledgement that nobody asked for is ignored", async (cleanup, nsp) => {
  const s = await joined(cleanup, nsp);
  s.send(`43${nsp},999["x"]`, `42${nsp},0["echo","y"]`);
  assert.equal(await s.next(), `43${nsp},0["y"]`);
});

attack("an event for a namespace that was left is ignored or closes the connection", async (cleanup, nsp, bystander) => {
  const s = await joined(cleanup, nsp);
  let heard = 0;
  bystander.on("ghost", () => heard++);
  s.send(`41${nsp},`, `42${nsp},["broadcast","ghost"]`, "40/other,");
  const answer = await s.next();
  assert(answer instanceof Closed || answer.startsWith("40/other,"), String(answer));
  await callAll(bystander, "echo");
  assert.equal(heard, 0);
});

attack("a flood of CONNECTs to random names", async (cleanup, nsp) => {
  const s = await Socket.open(path);
  cleanup(() => s.close());
  const n = 5000;
  for (let i = 0; i < n; i++) s.send(`40${nsp}/${i},`);
  // Each is answered or the connection ends: nothing is left hanging.
  for (let i = 0; i < n; i++) {
    const answer = await s.next();
    if (answer instanceof Closed) return;
    assert.match(answer, /^4[04]\/raw/);
  }
});

attack("the path may come without its slash", async (cleanup) => {
  const session = await Polling.open("/socket.io");
  assert.equal((await session.post("40")).status, 200);
  assert.match((await session.get()).text, /^40\{/);
  cleanup(() => session.post("1"));
  const s = await Socket.open("/socket.io");
  cleanup(() => s.close());
  s.send("40");
  assert.match(await s.next(), /^40\{/);
});

attack("polling: a body that is no packet gets 400 and ends the session", async () => {
  const session = await Polling.open(path);
  const status = await session.post("abc").then((r) => r.status, () => 400); // or the request is cut off
  assert.equal(status, 400);
  assert.equal((await session.get()).status, 400);
});

attack("polling: a body beyond maxPayload is refused", async () => {
  const session = await Polling.open(path);
  let status;
  try {
    ({ status } = await session.post(`4${"x".repeat(3_000_000)}`));
  } catch (e) {
    assert.match(e.message, /EPIPE|ECONNRESET|hang up/); // it may stop reading
    return;
  }
  assert([400, 413].includes(status), status);
});

attack("polling: a malformed packet ends the session", async (cleanup, nsp) => {
  const session = await Polling.open(path);
  await session.post(`40${nsp},`);
  await session.get();
  await session.post(`42${nsp},{}`);
  // The close packet may come first.
  const first = await session.get();
  if (first.status === 200) assert.match(first.text, /(^|\x1e)1$/);
  assert.equal((await session.get()).status, 400);
});

attack("a session id that was never given gets 400", async () => {
  for (const sid of ["nobody", "..%2f..", "%00", "a".repeat(5000)]) {
    const { status, text } = await request(path, { query: `EIO=4&transport=polling&sid=${sid}` });
    assert.equal(status, 400);
    assert.deepEqual(JSON.parse(text), { code: 1, message: "Session ID unknown" });
  }
});

// http sends bytes and returns the status line of what comes back, or "" for a connection that is cut.
function http(bytes) {
  const { hostname, port } = new URL(settings.url);
  return within(
    new Promise((resolve) => {
      let answer = "";
      const conn = tcp(Number(port), hostname, () => conn.write(bytes));
      conn.on("data", (d) => {
        answer += d;
        conn.end();
      });
      conn.on("error", () => {});
      conn.on("close", () => resolve(answer.split("\r\n")[0]));
    }),
    "the answer to raw bytes",
  );
}

attack("headers with control characters are refused", async () => {
  const get = (line) => `GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n${line}\r\nConnection: close\r\n\r\n`;
  assert.match(await http(get("Host: plain.example")), / 200 /);
  for (const line of ["Host: a\u0001b", "Host: a\u0000b", "Host: plain.example\r\nX: a\u0000b", "Host: plain.example\r\nX\u0001Y: b"])
    assert.match(await http(get(line)), /^HTTP\/1\.1 400 |^$/, JSON.stringify(line));
});

attack("half a request and silence harm nobody", async (cleanup) => {
  const { hostname, port } = new URL(settings.url);
  for (let i = 0; i < 50; i++) {
    const conn = tcp(Number(port), hostname, () => conn.write("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost:"));
    conn.on("error", () => {});
    cleanup(() => conn.destroy());
  }
});

attack("a WebSocket that is opened and never used harms nobody", async (cleanup, nsp, bystander) => {
  for (let i = 0; i < 20; i++) {
    const s = new Socket(path, `EIO=4&transport=websocket`);
    cleanup(() => s.close());
    await within(s.opened, "the WebSocket");
  }
  assert.deepEqual(await call(bystander, "broadcast", "x"), { ok: true });
});

await run();
