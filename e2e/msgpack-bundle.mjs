// socket.io.msgpack.min.js as the server serves it, in the browser it is made for.
import { visit } from "./lib/browser.mjs";
import { assert, fresh, Inbox, run, scenario, settings, transports } from "./lib/scenario.mjs";
import { call, connect } from "./lib/v4.mjs";

const file = `${settings.url}/socket.io/socket.io.msgpack.min.js`;

scenario("the served file connects, and talks to clients that speak JSON", async (cleanup) => {
  const nsp = fresh("/bundle");
  const node = await connect(cleanup, nsp);
  const inbox = new Inbox(node);
  const page = await visit(cleanup, file, { expect: ["404"] }); // of an icon
  await page.addScriptTag({ url: file });
  await page.evaluate(
    ([nsp, transports]) => {
      window.socket = io(nsp, { transports, reconnection: false });
      window.heard = new Promise((resolve) => socket.on("hello", (...args) => resolve(args)));
      return new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject));
    },
    [nsp, transports],
  );
  const echo = await page.evaluate(async () => {
    if (socket.io.engine.transport.name === "polling" && socket.io.opts.transports.length > 1) {
      await new Promise((resolve) => socket.io.engine.once("upgrade", resolve));
    }
    const answer = await new Promise((resolve) => socket.emit("echo", "ä😀", { b: new Uint8Array([0, 1, 255]).buffer }, 1.5, null, (...args) => resolve(args)));
    answer[1].b = [...new Uint8Array(answer[1].b)];
    return answer;
  });
  assert.deepEqual(echo, ["ä😀", { b: [0, 1, 255] }, 1.5, null]);
  assert.equal(await page.evaluate(() => socket.io.engine.transport.name), transports.at(-1));

  await page.evaluate(() => socket.emitWithAck("broadcast", "news", [1, { x: new Uint8Array([7]).buffer }]));
  assert.deepEqual(await inbox.until("news"), ["news", [1, { x: Buffer.from([7]) }]]);
  await call(node, "broadcast", "hello", "from JSON", Buffer.from([9]));
  const heard = await page.evaluate(async () => {
    const [text, binary] = await heard;
    return [text, binary instanceof ArrayBuffer && [...new Uint8Array(binary)]];
  });
  assert.deepEqual(heard, ["from JSON", [9]]);
  await page.evaluate(() => socket.disconnect());
});

await run();
