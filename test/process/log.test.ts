// The log of a program whose reader has stopped, and of one that writes to a file with its other output.
import { equal, ok } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const log = fileURLToPath(new URL('../../src/process/log.ts', import.meta.url));
/** Fills the socket of a reader that has stopped, and prints how many lines were dropped. */
const program = `
  import { setTimeout as sleep } from 'node:timers/promises';
  const { openLogDestination } = await import(${JSON.stringify(log)});
  using destination = openLogDestination();
  for (let round = 0; round < 10; round++, await sleep(20))
    for (let n = 0; n < 1000; n++) destination.write('x'.repeat(200) + '\\n');
  process.stderr.write(String(destination.dropped));
`;

test('a program whose log is not read drops lines and ends', { timeout: 60_000 }, async (t) => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'pipe' });
  t.after(() => child.kill('SIGKILL'));
  child.stdout.pause();
  const exit = once(child, 'exit');
  const [said] = await once(child.stderr, 'data');
  ok(Number(`${said}`) > 5000, `${said} lines dropped`);
  equal((await exit)[0], 0);
});

test('a log in one file with the errors of its program overwrites none of them, nor they the log', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'vipward-log-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'log');
  const fd = openSync(file, 'w');
  const both = `
    const { openLogDestination } = await import(${JSON.stringify(log)});
    using destination = openLogDestination();
    destination.write('first\\n');
    process.stderr.write('error\\n');
    destination.write('last\\n');
  `;
  spawnSync(process.execPath, ['--input-type=module', '-e', both], { stdio: ['ignore', fd, fd] });
  equal(readFileSync(file, 'utf8'), 'first\nerror\nlast\n');
});
