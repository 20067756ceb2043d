// Clients as a load balancer sees them: each from an address of its own, coming by a
// virtual host, with or without a cookie jar.
import { Agent } from "node:http";
import { connect as dial } from "node:net";
import { fresh, settings } from "./scenario.mjs";
import { manager, ready } from "./v4.mjs";

const { hostname, port } = new URL(settings.url);

// Visitor makes every connection from an address of its own.
export class Visitor extends Agent {
  constructor(localAddress) {
    // No connection is kept: HAProxy closes one without an answer when the node of a
    // waiting poll dies, browsers then repeat the request, and Node.js's XMLHttpRequest
    // (xmlhttprequest-ssl) makes a new one that it forgets to send.
    super({ keepAlive: false });
    this.localAddress = localAddress;
  }

  // Whatever the host name, the load balancer is meant.
  createConnection() {
    return dial({ host: hostname, port, localAddress: this.localAddress });
  }
}

let visitors = 0;

// visit connects a client that comes by `host`, a Host header as it stands, and joins
// the namespace. `where` joins another one, of its own, on the same connection: the
// full name of that tells which node the connection is on.
export async function visit(cleanup, host, nsp, options = {}) {
  visitors++;
  const m = manager(cleanup, {
    url: `http://${host}`,
    agent: new Visitor(`127.1.${visitors >> 8}.${visitors & 255}`),
    withCredentials: settings.client === "cookie",
    ...options,
  });
  const where = m.socket(fresh("/where"));
  const s = m.socket(nsp);
  s.where = `//${host}${where.nsp}`;
  s.disconnects = [];
  s.on("disconnect", (reason) => s.disconnects.push(reason));
  await Promise.all([ready(where), ready(s)]);
  return s;
}

// sharedHost is a virtual host with the load balancer's port.
export const sharedHost = `a.example:${port}`;
