// Nodes end behind the recipes of deploy/nginx and deploy/haproxy, first one that drains,
// then one that is killed. --client is the recipe's name.
import { ask, assert, deadline, fresh, Inbox, run, scenario, settings, within } from "./lib/scenario.mjs";
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

// calm waits until every client is connected and has been for a second and a half: a
// health check or two, after which nobody is sent to the node that ended.
async function calm(clients) {
  let since = performance.now();
  const count = () => clients.reduce((n, s) => n + s.disconnects.length, 0);
  for (let last = count(); performance.now() - since < 1500; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (clients.every((s) => s.connected) && count() === last) continue;
    [last, since] = [count(), performance.now()];
  }
}

for (const [how, left] of Object.entries({ term: 2, kill: 1 }))
  scenario(`${how}: its clients go on elsewhere, ${left} left`, async (cleanup) => {
    const nsp = fresh("/fleet");
    const clients = await Promise.all(
      Array.from({ length: 18 }, (_, i) => visit(cleanup, sharedHost, nsp, { ...reconnect, transports: choices[i % choices.length] })),
    );
    await calm(clients);
    assert.deepEqual(clients.flatMap((s) => s.disconnects), []);
    await hearEachOther(clients);

    const gone = new Promise((resolve) => clients[0].once("disconnect", resolve));
    await ask(how, clients.map((s) => s.where));
    await within(gone, "the node's clients to notice");
    await within(calm(clients), "all clients to be back", deadline);
    await hearEachOther(clients);
    await ask("moved", Object.fromEntries(clients.map((s) => [s.where, s.disconnects.length])));
  });

await run();
