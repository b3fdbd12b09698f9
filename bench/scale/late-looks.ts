// Loaded into the controller before it starts: looks at the clock as its own measure of lag does, and records
// for each late look what the main thread did meanwhile, as one line in the file that LATE_LOOKS names.

import { appendFileSync, readFileSync } from 'node:fs';
import type { LateLook } from './lag.ts';

const everyMs = 20;
/** Later looks are recorded. */
const lateMs = 25;
const writeEveryMs = 500;
const { LATE_LOOKS: file = '' } = process.env;
/** The first thread of a process has the number of the process. */
const schedstat = `/proc/self/task/${process.pid}/schedstat`;

let dueMs = performance.now() + everyMs;
let before = times();
let lines = '';
setInterval(look, everyMs).unref();
setInterval(write, writeEveryMs).unref();

function look(): void {
  const [nowMs, now] = [performance.now(), times()];
  const late = nowMs - dueMs;
  const [ranMs, waitedMs] = [now.ranMs - before.ranMs, now.waitedMs - before.waitedMs];
  if (late > lateMs) {
    const told: LateLook = { atMs: Date.now(), lateMs: late, ranMs, waitedMs };
    lines += `${JSON.stringify(told)}\n`;
  }
  dueMs = nowMs + everyMs;
  before = now;
}

function write(): void {
  if (lines !== '') appendFileSync(file, lines);
  lines = '';
}

/** How long the thread ran, and how long it was ready to run while others ran. */
function times(): { readonly ranMs: number; readonly waitedMs: number } {
  const [ranNs, waitedNs] = readFileSync(schedstat, 'utf8').split(' ');
  return { ranMs: Number(ranNs) / 1e6, waitedMs: Number(waitedNs) / 1e6 };
}
