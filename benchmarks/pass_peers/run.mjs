// What the programs in Node share: the job, and the loop around a pass.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";

export const job = JSON.parse(readFileSync(process.argv.at(-1), "utf8"));
export const content = JSON.parse(readFileSync(join(job.folder, "pass.json"), "utf8"));
export const images = Object.fromEntries(
  readdirSync(job.folder).filter((name) => name.endsWith(".png")).map((name) => [name, readFileSync(join(job.folder, name))]),
);

export async function run(make) {
  await make("WARM-UP", "A1");
  let count = 0, last;
  const started = performance.now();
  while (performance.now() - started < job.seconds * 1000) {
    count += 1;
    last = await make(`BENCH-${count}`, `B${count % 60}`);
  }
  const seconds = (performance.now() - started) / 1000;
  writeFileSync(job.output, last);
  console.log(JSON.stringify({ count, seconds }));
}
