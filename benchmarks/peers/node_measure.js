// What every Node peer does: it warms up, then measures `push` with job.count tokens, and prints the result.
'use strict';

const fs = require('fs');

const job = JSON.parse(fs.readFileSync(process.argv[process.argv.length - 1], 'utf8'));

/**
 * Measures a client.
 * @param {(tokens: string[]) => Promise<number>} push sends one push per token; the number that was delivered.
 */
async function measure(push) {
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

module.exports = { job, measure };
