// Connections of the Socket.IO v4 client (Engine.IO 4), with the transports of the run
// and, where that is the client of the run, with the parser for msgpack.
import { Manager } from "socket.io-client";
import { deadline, once, settings, transports, within } from "./scenario.mjs";

const form = settings.client === "msgpack" ? { parser: (await import("socket.io-msgpack-parser")).default } : {};

// manager opens a connection of its own, closed when the case is over.
export function manager(cleanup, options = {}) {
  const m = new Manager(options.url ?? settings.url, { transports, reconnection: false, ...form, ...options });
  cleanup(() => m._close());
  return m;
}

// connect joins one namespace over a connection of its own.
export async function connect(cleanup, nsp = "/", options = {}) {
  return ready(manager(cleanup, options).socket(nsp, options));
}

// ready waits for the CONNECT answer; a refusal is an error.
export async function ready(socket) {
  if (socket.connected) return socket;
  let refused;
  await within(
    new Promise((resolve, reject) => {
      refused = reject;
      socket.once("connect", resolve);
      socket.once("connect_error", refused);
    }),
    `the connection to ${socket.nsp}`,
  );
  socket.off("connect_error", refused);
  return socket;
}

// upgraded waits until the transport of the run stands, which for "upgrade" is WebSocket.
export async function upgraded(socket) {
  const engine = socket.io.engine;
  if (settings.transport === "upgrade" && engine.transport.name !== "websocket") await once(engine, "upgrade");
  return socket;
}

// call emits with an acknowledgement, and returns what was acknowledged: the
// only argument, or undefined.
export function call(socket, event, ...args) {
  return socket.timeout(deadline).emitWithAck(event, ...args);
}

// callAll is call, with all arguments of the acknowledgement.
export function callAll(socket, event, ...args) {
  return within(
    new Promise((resolve) => socket.emit(event, ...args, (...answer) => resolve(answer))),
    `the acknowledgement of ${event}`,
  );
}
