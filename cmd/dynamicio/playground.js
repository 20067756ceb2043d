"use strict";
const { path, nodes } = JSON.parse(document.getElementById("settings").textContent);
const $ = (id) => document.getElementById(id);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Through a load balancer, so many new sessions are tried until one is on another replica.
const tries = 10;

// report is the last answer of status.json; seen, whether the namespace was there since it was asked for.
let report = null, seen = false;
// fullName is what the cluster calls the namespace: on a virtual host, not what clients call it.
let fullName = "";

class Client {
  constructor(title) {
    this.title = title;
    this.socket = null;
    this.node = ""; // of the connection; empty while it is not known
    this.home = 0; // the place in nodes, where there are some
    this.moving = false;
    const part = $("client").content.cloneNode(true);
    this.place = part.querySelector(".place");
    this.button = part.querySelector(".move");
    this.log = part.querySelector(".log");
    [this.input, this.send] = part.querySelectorAll(".talk input, .talk button");
    part.querySelector("h2").textContent = title;
    this.button.addEventListener("click", () => this.move());
    part.querySelector(".talk").addEventListener("submit", (event) => {
      event.preventDefault();
      this.say(this.input.value);
    });
    $("clients").append(part);
  }

  // connect opens a connection of its own. elsewhere asks the load balancer to forget where the last one was.
  connect(elsewhere) {
    const origin = nodes.length ? `http://${location.hostname}:${new URL(nodes[this.home].url).port}` : location.origin;
    const query = elsewhere ? { elsewhere: "1" } : {};
    this.socket = io(origin + $("name").value, { path: `${path}/`, query, forceNew: true });
    this.socket.on("connect", () => this.show());
    this.socket.on("connect_error", (error) => this.note(`refused: ${error.message}`));
    this.socket.on("disconnect", (reason) => {
      this.node = "";
      if (!this.moving) this.note(reason === "io client disconnect" ? "left" : `connection lost: ${reason}`);
      this.show();
    });
    this.socket.on("said", (text, title, node) => this.heard(String(text), String(title), String(node)));
  }

  leave() {
    const socket = this.socket;
    this.socket = null;
    this.node = "";
    socket?.disconnect();
    this.show();
  }

  show() {
    const ready = Boolean(this.socket?.connected) && !this.moving;
    this.input.disabled = this.send.disabled = !ready;
    this.button.disabled = !ready || !this.node || (report?.nodes.length ?? 0) < 2;
    const b = document.createElement("b");
    b.textContent = this.node;
    if (this.moving) this.place.replaceChildren("moving …");
    else if (!this.socket) this.place.replaceChildren("not connected");
    else if (!this.socket.connected) this.place.replaceChildren("connecting …");
    else if (!this.node) this.place.replaceChildren("connected; asking which replica this is …");
    else this.place.replaceChildren("on replica ", b);
  }

  note(text, about = "", crossed = false) {
    const li = document.createElement("li"), small = document.createElement("small");
    small.textContent = about;
    small.className = crossed ? "crossed" : "";
    li.append(text, small);
    this.log.prepend(li);
    while (this.log.childElementCount > 100) this.log.lastElementChild.remove();
  }

  say(text) {
    if (!text || !this.socket) return;
    this.input.value = "";
    this.note(`“${text}”`, "said here");
    this.socket.timeout(5000).emit("broadcast", "said", text, this.title, this.node, (error, answer) => {
      if (error) this.note("no answer from the server");
      else if (!answer?.ok) this.note(`refused: ${answer?.error}`);
    });
  }

  heard(text, title, node) {
    const crossed = node !== this.node;
    this.note(`“${text}”`, `from ${title} on ${node}${crossed ? ": it crossed replicas" : ": the same replica"}`, crossed);
  }

  // found takes the client's replica from the report, if it is there.
  found() {
    const id = this.socket?.id;
    const me = id && report?.namespaces.find((n) => n.fullname === fullName)?.clients?.find((c) => c.id === id);
    if (me) this.node = me.node;
    this.show();
    return Boolean(me);
  }

  // move opens new connections until one is on another replica.
  async move() {
    const before = this.node;
    this.moving = true;
    for (let i = 0; i < tries && this.socket; i++) {
      this.leave();
      this.home = nodes.length && (this.home + 1) % nodes.length;
      this.connect(true);
      for (let n = 0; n < 20 && this.socket && !this.found(); n++) {
        await wait(100);
        await look();
      }
      if (this.node && this.node !== before) break;
    }
    this.moving = false;
    if (this.node === before) this.note("still on the same replica: this load balancer keeps a browser where it is");
    else if (this.node) this.note(`moved from ${before} to ${this.node}`);
    this.show();
  }
}

const clients = [new Client("Client 1"), new Client("Client 2")];
const inside = () => clients.some((c) => c.socket);

function enter() {
  seen = false;
  fullName = $("name").value;
  clients.forEach((c, i) => {
    c.home = nodes.length && (here + i) % nodes.length;
    c.connect(false);
  });
  showEntry();
  spread();
}

// spread moves the second client away, if both came to one replica.
async function spread() {
  const [one, two] = clients;
  for (let i = 0; i < 50 && !(one.node && two.node); i++) await wait(100);
  if (one.node && one.node === two.node && report.nodes.length > 1) await two.move();
}

function showEntry() {
  $("enter").textContent = inside() ? "Leave" : "Enter";
  $("name").disabled = inside();
}

$("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  if (inside()) clients.forEach((c) => c.leave());
  else enter();
  showEntry();
});
$("name").addEventListener("input", () => (seen = false));

async function ask(query) {
  const answer = await fetch(`${path}/status.json?${new URLSearchParams(query)}`);
  if (answer.status === 401 || answer.status === 404) throw new Error("The status is not public here: sign in on the status page first.");
  if (!answer.ok) throw new Error(`The status answers ${answer.status}.`);
  return answer.json();
}

// look asks how the namespace is.
async function look() {
  try {
    const next = await ask({ namespace: fullName || $("name").value });
    if (!next.namespaces.length && inside()) {
      const name = $("name").value;
      const found = (await ask({ q: name })).namespaces.find((n) => n.name === name);
      if (found && found.fullname !== fullName) fullName = found.fullname; // with its rooms and clients at the next look
    }
    report = next;
  } catch (error) {
    life(error instanceof TypeError ? "No replica answers." : error.message, "warn");
    return;
  }
  if (!clients.some((c) => c.moving)) clients.forEach((c) => c.found());
  showReport();
}

function life(text, kind = "") {
  $("life").textContent = text;
  $("life").className = kind;
}

function showReport() {
  const name = $("name").value;
  const ns = report.namespaces.find((n) => n.fullname === fullName);
  const gone = report.retired.find((r) => r.fullname === fullName);
  if (ns) seen = true;
  if (!ns && seen) life(`${name}${gone ? `, incarnation ${gone.epoch},` : ""} has been retired on every replica.`, "good");
  else if (!ns) life(`Nobody has asked for ${name} yet.`);
  else if (ns.sockets > 0) life(`${name}, incarnation ${ns.epoch}: ${ns.sockets} sockets in the cluster.`);
  else if (ns.expires_in_ms === null) life(`${name} is empty.`);
  else life(`${name} is empty everywhere: it retires in ${Math.max(0, ns.expires_in_ms / 1000).toFixed(1)} s unless somebody comes.`, "warn");
  $("replicas").replaceChildren(...report.nodes.map((node) => {
    const li = document.createElement("li"), here = ns?.nodes[node.id] ?? 0;
    li.textContent = `${node.id}: ${ns ? `${here} here` : "not here"}${node.draining ? ", draining" : ""}`;
    li.className = here ? "occupied" : "";
    return li;
  }));
}

// here is the node of this page, where their addresses are known.
const here = Math.max(0, nodes.findIndex((node) => new URL(node.url).port === location.port));
nodes.forEach((node, i) => {
  const a = document.createElement("a");
  a.href = node.url;
  a.textContent = node.id;
  if (i === here) a.setAttribute("aria-current", "page");
  $("links").prepend(a);
});

async function watch() {
  for (;;) {
    if (!document.hidden) await look();
    await wait(400);
  }
}
enter();
watch();
