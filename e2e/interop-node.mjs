// A Node.js Socket.IO server with a Redis adapter that obeys the commands of interop/commands.go.
//
//   node interop-node.mjs --redis redis://127.0.0.1:6379 --name node --client redis --listen 127.0.0.1:0
import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { createAdapter } from "@socket.io/redis-adapter";
import { Server } from "socket.io";
import { fromWire, toWire } from "./interop-wire.mjs";

const { values } = parseArgs({
  options: {
    redis: { type: "string", default: "redis://127.0.0.1:6379" },
    name: { type: "string", default: "node" },
    client: { type: "string", default: "redis" }, // the package: "redis" or "ioredis"
    adapter: { type: "string", default: "classic" }, // or "streams"
    listen: { type: "string", default: "127.0.0.1:0" },
  },
});

// connect returns a connection to publish with and one to subscribe with.
async function connect() {
  if (values.client === "ioredis") {
    const { Redis } = await import("ioredis");
    const pub = new Redis(values.redis);
    return [pub, pub.duplicate()];
  }
  const { createClient } = await import("redis");
  const pub = createClient({ url: values.redis });
  const sub = pub.duplicate();
  await Promise.all([pub.connect(), sub.connect()]);
  return [pub, sub];
}

const http = createServer((req, res) => {
  if (req.url !== "/do") return;
  json(req)
    .then(obey)
    .catch((e) => ({ error: String(e.message ?? e) }))
    .then((out) => res.end(JSON.stringify(out)));
});
const [pub, sub] = await connect();
const streams = async () => (await import("@socket.io/redis-streams-adapter")).createAdapter(pub);
const adapter = values.adapter === "streams" ? await streams() : createAdapter(pub, sub);
const io = new Server(http, { adapter });

function setup(nsp) {
  nsp.on("connection", (socket) => {
    socket.on("join", (room, done) => {
      socket.join(room);
      done(true);
    });
    socket.on("name", (name) => (socket.data.name = name));
    socket.on("echo", (...args) => args.pop()(...args));
  });
}

setup(io);
// A namespace made on demand, or by a command, hears what servers say to each other.
io.of(/^\/.+$/).on("connection", () => {});
io.on("new_namespace", (nsp) => {
  setup(nsp);
  nsp.on("news", (...args) => nsp.local.emit("heard", values.name, args));
  nsp.on("ask", (...args) => {
    const answer = args.pop();
    answer({ from: values.name, args: args.map(toWire) });
  });
});

// obey carries out a command.
async function obey({ op, ns, rooms = [], except = [], volatile, event, args = [], timeout = 0, to, close, count }) {
  const nsp = io._nsps.get(ns) ?? io.of(ns);
  let b = nsp.to(rooms).except(except);
  if (volatile) b = b.volatile;
  args = args.map(fromWire);
  switch (op) {
    case "of":
      return {};
    case "emit":
      b.emit(event, ...args);
      return {};
    case "burst":
      for (let i = 0; i < count; i++) {
        const to = i % 2 ? nsp.to(rooms) : nsp;
        to.emit(event, i, ...(i % 10 ? [] : [Buffer.from([i])]));
      }
      return {};
    case "emitAck":
      return new Promise((resolve) =>
        b.timeout(timeout || 5000).emit(event, ...args, (e, answers) =>
          resolve({ value: answers.map(toWire), error: e?.message }),
        ),
      );
    case "join":
      b.socketsJoin(to);
      return {};
    case "leave":
      b.socketsLeave(to);
      return {};
    case "disconnect":
      b.disconnectSockets(close);
      return {};
    case "fetch": {
      const sockets = await b.fetchSockets();
      return {
        value: sockets.map((s) => ({
          id: s.id,
          rooms: [...s.rooms].filter((r) => r !== s.id),
          data: s.data,
          handshake: s.handshake,
        })),
      };
    }
    case "toSocket": {
      const [s, ...others] = await b.fetchSockets();
      if (!s || others.length > 0) throw new Error("not one socket");
      if (event === "join") s.join(to);
      else if (event === "leave") to.forEach((room) => s.leave(room));
      else if (event === "disconnect") s.disconnect(close);
      else s.emit(event, ...args);
      return {};
    }
    case "rooms":
      return { value: [...(await nsp.adapter.allRooms())] };
    case "serverSide":
      nsp.serverSideEmit(event, ...args);
      return {};
    case "serverSideAck":
      return new Promise((resolve) =>
        nsp.serverSideEmit(event, ...args, (e, answers) => resolve({ value: answers, error: e?.message })),
      );
  }
  throw new Error(`no such command: ${op}`);
}

const [host, port] = values.listen.split(":");
http.listen(Number(port), host, () => console.log(`listening on ${host}:${http.address().port}`));
process.on("SIGTERM", () => process.exit(0));
