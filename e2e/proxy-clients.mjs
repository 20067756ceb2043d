// Clients behind the recipes of deploy/nginx and deploy/haproxy. --client is the recipe's name.
import { ask, assert, fresh, Inbox, run, scenario } from "./lib/scenario.mjs";
import { call, upgraded } from "./lib/v4.mjs";
import { sharedHost, visit } from "./lib/visitor.mjs";

scenario("20 clients on several nodes hear each other, and none loses its session", async (cleanup) => {
  const nsp = fresh("/meet");
  const clients = await Promise.all(Array.from({ length: 20 }, async () => upgraded(await visit(cleanup, sharedHost, nsp))));
  await ask("several", clients.map((s) => s.where));
  const inboxes = clients.map((s) => new Inbox(s));
  for (let round = 0; round < 5; round++) {
    await Promise.all(clients.map((s, i) => call(s, "broadcast", `round ${round} of ${i}`, round)));
    for (const [me, inbox] of inboxes.entries())
      for (const i of clients.keys()) if (i !== me) await inbox.until(`round ${round} of ${i}`);
  }
  await Promise.all(
    clients.map(async (s, i) => {
      const numbers = Array.from({ length: 50 }, (_, n) => n); // many requests at once
      assert.deepEqual(await Promise.all(numbers.map((n) => call(s, "echo", n))), numbers);
      const binary = Buffer.alloc(70_000, i);
      assert.deepEqual(Buffer.from(await call(s, "echo", binary)), binary);
    }),
  );
  for (const inbox of inboxes) assert.equal(inbox.events.length, 5 * 19);
  assert.deepEqual(clients.flatMap((s) => s.disconnects), []);
});

scenario("virtual hosts are apart, and a port is part of a host", async (cleanup) => {
  const nsp = fresh("/chat");
  const hosts = [sharedHost, "a.example", "b.example", "b.example:81"];
  const groups = await Promise.all(
    hosts.map(async (host) => {
      const members = await Promise.all([1, 2, 3].map(() => visit(cleanup, host, nsp)));
      return { host, members, inboxes: members.map((s) => new Inbox(s)) };
    }),
  );
  await ask("names", hosts.map((host) => `//${host}${nsp}`));
  // Twice: what has gone astray in the first round is there after the second.
  for (const event of ["hello", "again"]) {
    await Promise.all(groups.flatMap(({ host, members }) => members.map((s, i) => call(s, "broadcast", `${event} ${i}`, host))));
    for (const { inboxes } of groups)
      for (const [me, inbox] of inboxes.entries())
        for (const i of inboxes.keys()) if (i !== me) await inbox.until(`${event} ${i}`);
  }
  for (const { host, inboxes } of groups)
    for (const { events } of inboxes) assert.deepEqual(events.map(([, from]) => from), [host, host, host, host]);
});

await run();
