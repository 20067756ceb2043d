// Connections of the Socket.IO v2 client (Engine.IO 3), with the transports of
// the run; the functions are those of v4.mjs.
import io from "socket.io-client-v2";
import { once, settings, transports, within } from "./scenario.mjs";

export function manager(cleanup, options = {}) {
  const m = new io.Manager(options.url ?? settings.url, { transports, reconnection: false, ...options });
  cleanup(() => m.close());
  return m;
}

export async function connect(cleanup, nsp = "/", options = {}) {
  return ready(manager(cleanup, options).socket(nsp, options));
}

// ready waits for the CONNECT answer. A refusal is an `error` here, a failed connection a `connect_error`.
export async function ready(socket) {
  if (socket.connected) return socket;
  await within(
    new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", (e) => reject(e instanceof Error ? e : new Error(e)));
      socket.once("connect_error", reject);
    }),
    `the connection to ${socket.nsp}`,
  );
  return socket;
}

export async function upgraded(socket) {
  const engine = socket.io.engine;
  if (settings.transport === "upgrade" && engine.transport.name !== "websocket") await once(engine, "upgrade");
  return socket;
}

export function callAll(socket, event, ...args) {
  return within(
    new Promise((resolve) => socket.emit(event, ...args, (...answer) => resolve(answer))),
    `the acknowledgement of ${event}`,
  );
}

export async function call(socket, event, ...args) {
  return (await callAll(socket, event, ...args))[0];
}
