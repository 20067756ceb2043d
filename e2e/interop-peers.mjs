// What the interop scripts share: commands to servers, and clients that must not be cut off.
import { createClient } from "redis";
import { assert, deadline, fresh, Inbox, once, settings, within } from "./lib/scenario.mjs";
import { call, manager, ready } from "./lib/v4.mjs";
import { toWire } from "./interop-wire.mjs";

// Peer is a server; all but `dynamicio serve` obey commands, whose fields are
// those of interop/commands.go. `kind` is "ours", "node", or "go" for stock Go.
export class Peer {
  constructor(name, url, kind) {
    Object.assign(this, { name, url, kind });
  }

  // outcome carries out a command and returns {value, error, missing}.
  async outcome(op, command) {
    const body = JSON.stringify({ op, ...command, args: command.args?.map(toWire) });
    const res = await within(fetch(`${this.url}/do`, { method: "POST", body }), `${op} at ${this.name}`);
    if (!res.ok) throw new Error(`${op} at ${this.name}: ${res.status} ${await res.text()}`);
    return res.json();
  }

  // do carries out a command that must succeed, and returns its value.
  async do(op, command) {
    const { value, error } = await this.outcome(op, command);
    if (error) throw new Error(`${op} at ${this.name}: ${error}`);
    return value;
  }

  async socket(cleanup, nsp, options) {
    const join = () => {
      const m = manager(cleanup, { url: this.url, transports: ["websocket"], ...options });
      return ready(m.socket(nsp, options));
    };
    if (this.kind !== "go") return join();
    // Stock Go loses a CONNECT that arrives before it listens.
    for (let tries = 1; ; tries++) {
      try {
        return await within(join(), "stock Go to answer", 1500);
      } catch (e) {
        if (tries === 5) throw e;
      }
    }
  }

  // client joins a namespace here, under a name that fetchSockets shows. It is
  // an error if it is cut off before `parting` says that it may be.
  async client(cleanup, nsp, { name = this.name, room, ...options } = {}) {
    const s = await this.socket(cleanup, nsp, options);
    const c = { socket: s, id: s.id, inbox: new Inbox(s), at: this.name, kind: this.kind, parting: false, cut: "" };
    s.once("disconnect", (reason) => {
      if (!c.parting) c.cut = reason;
    });
    cleanup(() => {
      if (c.cut) throw new Error(`the client of ${c.at} in ${nsp} was cut off: ${c.cut}`);
      c.parting = true;
    });
    s.emit("name", name);
    if (room) await call(s, "join", room);
    await call(s, "echo", 1);
    // Answers to what servers ask clients.
    s.on("question", (...args) => {
      const answer = args.pop();
      answer({ client: name, args });
    });
    s.on("binary question", (blob, answer) => answer(blob));
    return c;
  }
}

// redis is the connection of the script itself.
export const urls = JSON.parse(settings.peers);
export const redis = createClient({ url: urls.redis });
await redis.connect();

// Party is one fresh namespace with a client at every server. Each is in the
// room "all" and in a room that is called as its server.
export class Party {
  //
  // `host` is the virtual host that the clients come by, `only` says where they
  // are if not at all servers.
  static async at(cleanup, peers, { name = fresh("/interop"), host = "", prefix = "socket.io", only = peers } = {}) {
    const p = new Party();
    Object.assign(p, { ns: host ? `//${host}${name}` : name, prefix, peers, clients: {} });
    const options = host ? { extraHeaders: { host } } : {};
    for (const peer of only) {
      p.clients[peer.name] = await peer.client(cleanup, name, { room: "all", ...options });
      await call(p.clients[peer.name].socket, "join", `at ${peer.name}`);
    }
    await p.subscribed(only);
    return p;
  }

  get all() {
    return Object.values(this.clients);
  }

  // subscribed waits for the subscriptions that no CONNECT answer waits for:
  // those of Node and stock Go servers, and of the rooms that our sockets are alone in.
  async subscribed(peers = this.peers) {
    const requests = `${this.prefix}-request#${this.ns}#`;
    const ids = this.all.filter((c) => c.kind === "ours" && !c.parting).map((c) => `${this.prefix}#${this.ns}#${c.id}#`);
    const patterns = peers.filter((p) => p.kind !== "ours").length;
    for (const begin = Date.now(); ; await new Promise((resolve) => setTimeout(resolve, 5))) {
      const counts = Object.values(await redis.pubSubNumSub([requests, ...ids]));
      // No server has the room, so they do not look at what is said to it.
      const heard = await redis.publish(`${this.prefix}#${this.ns}#nobody's room#`, "");
      if (Number(counts[0]) >= peers.length && counts.slice(1).every((n) => Number(n) > 0) && heard >= patterns) return;
      if (Date.now() - begin > deadline) throw new Error(`subscribed: ${counts}, by pattern: ${heard}`);
    }
  }

  // applied waits until commands of a Node.js server have taken effect: it
  // carries them out, too, when it hears itself, and what it says to a room
  // that is new to a node of ours is heard there once the node has subscribed.
  // What our nodes say needs no such wait.
  async applied(from, room, names) {
    if (from.kind === "ours") return;
    // Every server answers this behind what it was told before.
    if (from.kind === "node") await from.do("fetch", { ns: this.ns });
    const nodes = new Set(names.filter((name) => this.clients[name].kind === "ours"));
    const channel = `${this.prefix}#${this.ns}#${room}#`;
    await eventually(`a subscription to ${channel}`, async () => {
      const [n] = Object.values(await redis.pubSubNumSub([channel]));
      return Number(n) >= nodes.size;
    });
  }

  // servers is how many servers are counted in the namespace.
  async servers() {
    const [n] = Object.values(await redis.pubSubNumSub([`${this.prefix}-request#${this.ns}#`]));
    return Number(n); // a string, in version 5 of the package
  }

  // heard has a server emit, and checks which clients hear of it, by the names
  // of their servers, and that they do so once. A last event to everybody comes
  // behind the first one, and tells that nothing more is to come. It is not sent
  // before: of two events at a time stock Go loses the second. Those in `deaf`
  // are known to hear nothing of the server.
  async heard(from, command, names, { check = () => {}, deaf = [] } = {}) {
    const event = fresh("event");
    const end = fresh("end");
    await from.do("emit", { ns: this.ns, event, ...command });
    for (const name of names) await this.clients[name].inbox.until(event);
    await from.do("emit", { ns: this.ns, event: end });
    const reached = Object.entries(this.clients).filter(([name]) => !deaf.includes(name));
    for (const [name, c] of reached) {
      await c.inbox.until(end);
      const got = c.inbox.named(event);
      const what = `${from.name} emits ${JSON.stringify({ ...command, args: undefined })}: heard at ${name}`;
      assert.equal(got.length, names.includes(name) ? 1 : 0, what);
      if (got.length) check(got[0], what);
    }
  }
}

// parted waits until the server ends a client's connection to its namespace.
export async function parted(client) {
  client.parting = true;
  if (client.socket.connected) await once(client.socket, "disconnect");
}

// eventually waits until a condition holds that nothing announces.
export async function eventually(what, condition) {
  for (const begin = Date.now(); !(await condition()); await new Promise((resolve) => setTimeout(resolve, 10))) {
    if (Date.now() - begin > deadline) throw new Error(`never: ${what}`);
  }
}
