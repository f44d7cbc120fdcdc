// @parse/node-apn, as its documentation uses it: one send of one notification to many tokens.
'use strict';

const fs = require('fs');
const apn = require('@parse/node-apn');

const CHUNK = 5000; // of 8,000 and more at once it loses some: Node's http2 runs into its memory limit

const job = JSON.parse(fs.readFileSync(process.argv[process.argv.length - 1], 'utf8'));

const provider = new apn.Provider({
  token: { key: job.key, keyId: job.key_id, teamId: job.team_id },
  ca: job.ca,
  address: job.host,
  port: job.port,
  production: true,
  requestTimeout: 60000,
});

async function push(tokens) {
  const notification = new apn.Notification();
  notification.topic = job.topic;
  notification.rawPayload = { aps: {} }; // of an empty object it sends nothing, which APNs refuses
  notification.expiry = 1800000000;
  let delivered = 0;
  for (let start = 0; start < tokens.length; start += CHUNK) {
    const { sent } = await provider.send(notification, tokens.slice(start, start + CHUNK));
    delivered += sent.length;
  }
  return delivered;
}

async function main() {
  await push(job.tokens.slice(0, 1));
  await push(job.tokens);
  const due = Array.from({ length: job.count }, (_, index) => job.tokens[index % job.tokens.length]);
  const start = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  const delivered = await push(due);
  const used = process.cpuUsage(cpu);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  console.log(JSON.stringify({ seconds, cpu_seconds: (used.user + used.system) / 1e6, delivered }));
  process.exit(0);
}

main();
