// The frame of every scenario script: run named cases one after the other and
// tell the Go test what came of each, in one line of JSON on standard output:
//
//   {"name": "...", "ok": true, "ms": 12}
//   {"name": "...", "ok": false, "ms": 12, "detail": "..."}
//   {"ask": "...", "args": [...]}   the test does it, and answers with one line on standard input
//   {"done": 17}                    the number of cases; without this line the run counts as failed
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { inspect, parseArgs } from "node:util";

export { assert };

// settings are what the Go test passes: the server's base URL, the transports
// to use ("polling", "websocket", or both as "upgrade") and the client ("v4", "msgpack", "v2").
export const { values: settings } = parseArgs({
  options: {
    url: { type: "string", default: "http://127.0.0.1:8080" },
    transport: { type: "string", default: "upgrade" },
    client: { type: "string", default: "v4" },
    peers: { type: "string", default: "{}" }, // of the interop scripts: JSON, URLs by name
    only: { type: "string", default: "" }, // by hand: cases whose name contains this
  },
});

// deadline bounds every wait. It only ever passes when something is broken, so
// it is far longer than a busy machine needs.
export const deadline = 60_000;

// transports are those of the run, as both clients' option wants them.
export const transports = {
  polling: ["polling"],
  websocket: ["websocket"],
  upgrade: ["polling", "websocket"],
}[settings.transport];

const cases = [];

// scenario registers a case. fn gets a `cleanup` function: what is handed to it
// is called when the case is over, last first, whatever came of the case.
export function scenario(name, fn) {
  assert(!cases.some((c) => c.name === name), `two cases are called ${name}`);
  cases.push({ name, fn });
}

// run runs all cases registered so far, so many at a time, and ends the process.
//
// With `strict` set, the server gives a client 200 ms to answer a ping, which a
// machine that stands still for longer breaks. A case that failed is then run
// again, up to five times, but only if this process was seen to stand still during it.
export async function run({ parallel = 1, strict = false } = {}) {
  const chosen = cases.filter(({ name }) => name.includes(settings.only));
  const queue = chosen.values();
  const stalls = strict ? watchStalls() : () => false;
  let failed = 0;
  const work = async () => {
    for (const c of queue) {
      let result;
      for (let i = 0; i < 6; i++) {
        const begin = performance.now();
        result = await attempt(c);
        if (result.ok || !stalls(begin)) break;
        console.error(`the machine stood still during "${c.name}", which failed: ${result.detail?.split("\n")[0]}`);
      }
      if (!result.ok) failed++;
      tell(result);
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
  tell({ done: chosen.length });
  // Connections that are kept alive would hold the process for seconds.
  process.stdout.write("", () => process.exit(failed ? 1 : 0));
}

// watchStalls returns a function that tells whether this process stood still for more than 100 ms since a time.
function watchStalls() {
  let last = performance.now();
  let stall = -Infinity;
  setInterval(() => {
    const now = performance.now();
    if (now - last > 120) stall = now;
    last = now;
  }, 20);
  return (since) => stall > since || performance.now() - last > 120;
}

// attempt runs one case and returns what to tell of it.
async function attempt({ name, fn }) {
  const undo = [];
  const begin = performance.now();
  let error;
  try {
    await within(fn((f) => undo.push(f)), "the case", 3 * deadline);
  } catch (e) {
    error = e;
  }
  for (const f of undo.reverse()) {
    try {
      await f();
    } catch (e) {
      error ??= e;
    }
  }
  const ms = Math.round(performance.now() - begin);
  return error ? { name, ok: false, ms, detail: describe(error).slice(0, 4000) } : { name, ok: true, ms };
}

function describe(error) {
  return error instanceof Error ? error.stack : inspect(error);
}

function tell(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

// An error that no case awaits must not vanish.
process.on("unhandledRejection", (e) => {
  tell({ name: "unhandled rejection", ok: false, ms: 0, detail: describe(e) });
  process.exit(1);
});

const answers = [];
const askers = [];
let input;

// ask has the Go test do something to the servers ("kill", "start", ...) and
// returns its answer.
export function ask(what, ...args) {
  input ??= createInterface({ input: process.stdin }).on("line", (line) => {
    askers.length ? askers.shift()(JSON.parse(line)) : answers.push(JSON.parse(line));
  });
  tell({ ask: what, args });
  return within(
    new Promise((resolve) => (answers.length ? resolve(answers.shift()) : askers.push(resolve))),
    `the test to ${what}`,
    2 * deadline,
  );
}

// within fails if the promise is not settled in time.
export async function within(promise, what, ms = deadline) {
  let timer;
  const late = new Error(`waited ${ms} ms for ${what}`);
  const end = new Promise((_, reject) => {
    timer = setTimeout(() => reject(late), ms);
  });
  try {
    return await Promise.race([promise, end]);
  } finally {
    clearTimeout(timer);
  }
}

// once waits for one event and returns its arguments.
export function once(emitter, event) {
  return within(
    new Promise((resolve) => emitter.once(event, (...args) => resolve(args))),
    `the event ${event}`,
  );
}

// Inbox records every event of a socket from now on, in order, and lets a case
// wait until a certain one has come.
export class Inbox {
  constructor(socket) {
    this.events = [];
    this.waiting = [];
    const take = (...args) => {
      this.events.push(args);
      this.waiting = this.waiting.filter(([match, resolve]) => !match(args) || resolve(args));
    };
    // Socket.IO v2 has no onAny.
    if (socket.onAny) socket.onAny(take);
    else {
      const original = socket.onevent;
      socket.onevent = (packet) => {
        take(...packet.data);
        original.call(socket, packet);
      };
    }
  }

  // until returns the first event with this name, come or coming.
  until(name) {
    const there = this.events.find((e) => e[0] === name);
    if (there) return Promise.resolve(there);
    return within(
      new Promise((resolve) => this.waiting.push([(e) => e[0] === name, resolve])),
      `an event ${name}; there were ${inspect(this.events.slice(-5), { depth: 1, breakLength: Infinity })}`,
    );
  }

  // named returns the arguments of all events with this name so far.
  named(name) {
    return this.events.filter((e) => e[0] === name).map((e) => e.slice(1));
  }
}

let counter = 0;

// fresh returns a name that no other case of this run uses.
export function fresh(prefix) {
  return `${prefix}-${process.pid}-${++counter}`;
}
