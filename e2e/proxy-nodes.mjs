// Nodes end behind the recipes of deploy/nginx and deploy/haproxy, first one that drains,
// then one that is killed. --client is the recipe's name.
import { ask, assert, deadline, fresh, Inbox, once, run, scenario, settings, within } from "./lib/scenario.mjs";
import { call } from "./lib/v4.mjs";
import { sharedHost, visit } from "./lib/visitor.mjs";

const reconnect = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200 };
const choices = settings.client === "websocket-only" ? [["websocket"]] : [["polling"], ["websocket"], ["polling", "websocket"]];

// hearEachOther has all speak once, and all others hear it.
async function hearEachOther(clients) {
  const event = fresh("event");
  const inboxes = clients.map((s) => new Inbox(s));
  await Promise.all(clients.map((s, i) => call(s, "broadcast", `${event} of ${i}`)));
  for (const [me, inbox] of inboxes.entries())
    for (const i of clients.keys()) if (i !== me) await inbox.until(`${event} of ${i}`);
}

const disconnects = (clients) => clients.reduce((n, s) => n + s.disconnects.length, 0);

// together is hearEachOther as soon as nobody is disconnected meanwhile: until the
// load balancer knows that the node has ended, it may send clients there again.
async function together(clients) {
  for (;;) {
    for (let away; (away = clients.find((s) => !s.connected)); ) await once(away, "connect");
    const before = disconnects(clients);
    const moved = new Promise((_, reject) => clients.forEach((s) => s.once("disconnect", () => reject(new Error("a client was disconnected")))));
    try {
      return await Promise.race([hearEachOther(clients), moved]);
    } catch (e) {
      if (disconnects(clients) === before) throw e;
    }
  }
}

for (const [how, left] of Object.entries({ term: 2, kill: 1 }))
  scenario(`${how}: its clients go on elsewhere, ${left} left`, async (cleanup) => {
    const nsp = fresh("/fleet");
    const clients = await Promise.all(
      Array.from({ length: 18 }, (_, i) => visit(cleanup, sharedHost, nsp, { ...reconnect, transports: choices[i % choices.length] })),
    );
    await hearEachOther(clients);
    assert.equal(disconnects(clients), 0);

    const gone = once(clients[0], "disconnect");
    await ask(how, clients.map((s) => s.where));
    await gone;
    await ask("ended"); // a node that stops lets its clients go one after the other
    await within(together(clients), "all clients to be back", 2 * deadline);
    await ask("moved", Object.fromEntries(clients.map((s) => [s.where, s.disconnects.length])));
  });

await run();
