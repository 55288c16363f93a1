// BullMQ 6 on Node.js: the orders of `harness.py`, in JavaScript. Finished jobs are removed at once, its fastest setting.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import readline from 'node:readline';

const [role, given] = process.argv.slice(2);
const options = { concurrency: 100, lease: 10, expect: 0, journal: '', ...JSON.parse(given) };
const require = createRequire(options.packages + '/');
const { Queue, Worker } = require('bullmq');
const connection = { host: '127.0.0.1', port: options.port, maxRetriesPerRequest: null };
const settings = { removeOnComplete: true, attempts: 5 };
const CHUNK = 1000;

const say = message => fs.writeSync(1, JSON.stringify(message) + '\n');
const sleep = ms => new Promise(done => setTimeout(done, ms));
const now = () => (performance.timeOrigin + performance.now()) / 1000;
const orders = readline.createInterface({ input: process.stdin });

async function produce() {
  const queue = new Queue('bench', { connection });
  queue.on('error', () => {});
  await queue.waitUntilReady();
  say({ said: 'open' });
  for await (const line of orders) {
    const order = JSON.parse(line);
    const begin = performance.now();
    if (order.do === 'bulk') {
      for (let at = 0; at < order.count; at += CHUNK) {
        const size = Math.min(CHUNK, order.count - at);
        const job = (_, place) => ({ name: 'job', data: { n: order.first + at + place, ts: 0, ms: order.ms }, opts: settings });
        await queue.addBulk(Array.from({ length: size }, job));
      }
    } else {
      for (let n = 0; n < order.count; n++) {
        for (let left; (left = begin + (n * 1000) / order.rate - performance.now()) > 0; ) await sleep(left);
        await queue.add('job', { n, ts: now(), ms: 0 }, settings);
      }
    }
    say({ seconds: (performance.now() - begin) / 1000 });
  }
  process.exit(0);
}

function work() {
  const file = options.journal ? fs.openSync(options.journal, 'a') : null;
  const note = (sign, n) => file !== null && fs.writeSync(file, `${sign} ${n} ${now().toFixed(6)}\n`);
  const latencies = [];
  let count = 0, began, cpu;
  const worker = new Worker('bench', async ({ data: { n, ts, ms } }) => {
    note('b', n);
    if (n >= 0) {
      if (count === 0) [began, cpu] = [now(), process.cpuUsage()];
      count += 1;
      if (ts) latencies.push((now() - ts) * 1000);
      if (count === options.expect) {
        const used = process.cpuUsage(cpu);
        say({ said: 'done', count, latencies, seconds: now() - began, cpu: (used.user + used.system) / 1e6 });
      }
    }
    if (ms) await sleep(ms);
    if (n < 0) say({ said: 'warm' });
    else note('e', n);
  }, {
    connection,
    concurrency: options.concurrency,
    lockDuration: options.lease * 1000,
    stalledInterval: options.lease * 1000,
    maxStalledCount: 20,
  });
  worker.on('error', () => {});
  orders.on('line', line => { worker.concurrency = JSON.parse(line).to; say({ said: 'resized' }); });
  orders.on('close', () => process.exit(0));
}

if (role === 'producer') await produce(); else work();
