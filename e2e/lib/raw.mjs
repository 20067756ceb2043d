// Requests and WebSockets without a Socket.IO client: what is sent and what
// comes back is in the hands of the case.
import { Agent, request as httpRequest } from "node:http";
import { WebSocket } from "ws";
import { settings, within } from "./scenario.mjs";

// Connections are reused, as browsers do.
const agent = new Agent({ keepAlive: true });

// request sends one HTTP request; query is the part behind "?". It returns
// {status, headers, text}. Aborting `signal` rejects.
export function request(path, { method = "GET", query = "", body, headers = {}, signal } = {}) {
  const url = `${settings.url}${path}${query && `?${query}`}`;
  const answer = new Promise((resolve, reject) => {
    const req = httpRequest(url, { method, headers, agent, signal }, (res) => {
      const chunks = [];
      res.on("data", (chunk) => chunks.push(chunk));
      res.on("error", reject);
      res.on("end", () => {
        const data = Buffer.concat(chunks);
        resolve({ status: res.statusCode, headers: res.headers, text: data.toString(), data });
      });
    });
    req.on("error", reject);
    req.end(body);
  });
  return within(answer, `the answer to ${method} ${url}`);
}

// Polling is one session over long polling.
export class Polling {
  constructor(path, open, version) {
    Object.assign(this, open, { path, version });
  }

  // open makes the handshake.
  static async open(path, { version = 4, extra = "", headers } = {}) {
    const { status, text } = await request(path, { query: `EIO=${version}&transport=polling${extra}`, headers });
    if (status !== 200) throw new Error(`handshake: ${status} ${text}`);
    const json = version === 3 ? text.replace(/^\d+:/, "") : text;
    if (json[0] !== "0") throw new Error(`handshake: ${text}`);
    const session = new Polling(path, JSON.parse(json.slice(1)), version);
    session.extra = extra;
    return session;
  }

  get query() {
    return `EIO=${this.version}&transport=polling&sid=${this.sid}${this.extra ?? ""}`;
  }

  get(options) {
    return request(this.path, { query: this.query, ...options });
  }

  post(body, options) {
    return request(this.path, { method: "POST", query: this.query, body, ...options });
  }
}

// Socket is a WebSocket whose frames are waited for one by one.
export class Socket {
  constructor(path, query, { headers } = {}) {
    this.frames = [];
    this.waiting = [];
    this.ws = new WebSocket(`${settings.url.replace(/^http/, "ws")}${path}?${query}`, { headers });
    this.ws.binaryType = "nodebuffer";
    this.ws.on("message", (data, binary) => {
      if (this.heartbeat && String(data) === "2") this.ws.send("3");
      else this.#take(binary ? data : data.toString());
    });
    this.ws.on("error", (e) => (this.error = e));
    // closed is settled when it is closed or was refused; it holds the close code.
    this.closed = new Promise((resolve) => this.ws.on("close", resolve));
    this.closed.then((code) => this.#take(new Closed(code)));
    this.opened = new Promise((resolve, reject) => {
      this.ws.on("open", resolve);
      // The status of a refusal: {status, text}.
      this.ws.on("unexpected-response", (req, res) => {
        let text = "";
        res.on("data", (d) => (text += d));
        res.on("end", () => {
          reject(Object.assign(new Error(`refused: ${res.statusCode} ${text}`), { status: res.statusCode, text }));
          this.ws.terminate();
        });
      });
      this.ws.on("error", reject);
    });
    this.opened.catch(() => {}); // a case that expects a refusal looks at closed or next
  }

  #take(frame) {
    this.waiting.length ? this.waiting.shift()(frame) : this.frames.push(frame);
  }

  // open makes the handshake with a session of its own and leaves its open packet in `handshake`.
  static async open(path, { version = 4, extra = "", headers } = {}) {
    const s = new Socket(path, `EIO=${version}&transport=websocket${extra}`, { headers });
    await within(s.opened, "the WebSocket");
    const first = await s.next();
    if (typeof first !== "string" || first[0] !== "0") throw new Error(`handshake: ${String(first)}`);
    s.handshake = JSON.parse(first.slice(1));
    return s;
  }

  // answerPings answers the server's pings from now on and keeps them from next.
  answerPings() {
    this.heartbeat = true;
    return this;
  }

  // next gives the next frame: a string, a Buffer, or the Closed that ends it all.
  next() {
    if (this.frames.length) return Promise.resolve(this.frames.shift());
    return within(new Promise((resolve) => this.waiting.push(resolve)), "a WebSocket frame");
  }

  send(...frames) {
    for (const frame of frames) this.ws.send(frame);
  }

  // end waits until the server has closed it.
  end() {
    return within(this.closed, "the close of the WebSocket");
  }

  close() {
    this.ws.terminate();
  }
}

// Closed is what `next` gives when the WebSocket has ended.
export class Closed {
  constructor(code) {
    this.code = code;
  }

  toString() {
    return `closed with ${this.code}`;
  }
}
