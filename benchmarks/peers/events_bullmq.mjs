// BullMQ's QueueEventsProducer and QueueEvents: a hundred publishes under way at once; no groups, no acknowledgements.
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/");
const { QueueEvents, QueueEventsProducer } = require("bullmq");

const [port, count, rate, timed] = process.argv.slice(2).map(Number);
const connection = { host: "127.0.0.1", port };
const text = "y".repeat(150);
const now = () => performance.timeOrigin + performance.now();
// Their default keeps about 10,000 events; ours and the others' keep all that are published here.
const streams = { events: { maxLen: 10 * count } };
const producer = new QueueEventsProducer("events", { connection, streams });
await producer.waitUntilReady();

let begin = now();
for (let first = 0; first < count; first += 100)
  await Promise.all(
    Array.from({ length: 100 }, (_, n) =>
      producer.publishEvent({ eventName: "made", n: first + n, text }, 10 * count)),
  );
const published = (count / (now() - begin)) * 1000;

const events = new QueueEvents("events", { connection, lastEventId: "0" });
let got = 0, target = count, all;
const late = [];
const reached = () => new Promise((resolve) => (all = resolve));
let waiting = reached();
begin = now();
events.on("made", (event) => {
  got += 1;
  if (event.t) late.push((now() - Number(event.t)) / 1000);
  if (got === target) all();
});
await waiting;
const consumed = (count / (now() - begin)) * 1000;

got = 0; target = timed; waiting = reached();
begin = now();
for (let n = 0; n < timed; n += 1) {
  const wait = begin + (n * 1000) / rate - now();
  if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  await producer.publishEvent({ eventName: "made", t: String(now()), text }, 10 * count);
}
await waiting;
console.log(JSON.stringify({ published, consumed, late }));
process.exit(0);
