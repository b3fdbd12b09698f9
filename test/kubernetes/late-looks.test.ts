// What the scale benchmark reports of a blocked thread: how late it was, and what it did meanwhile.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ownLag } from '../../bench/scale/lag.ts';

const recorder = fileURLToPath(new URL('../../bench/scale/late-looks.ts', import.meta.url));
/** It writes twice a second. */
const program = `
  setTimeout(() => {
    for (const endMs = performance.now() + 300; performance.now() < endMs; );
  }, 100);
  setTimeout(() => {}, 1500);
`;

test('the scale benchmark reports a thread that was blocked for 300 ms as late', () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-late-'));
  const file = join(folder.path, 'looks');
  const fromMs = Date.now();
  const argv = ['--import', recorder, '--input-type=module', '-e', program];
  const { status, stderr } = spawnSync(process.execPath, argv, {
    encoding: 'utf8',
    env: { ...process.env, LATE_LOOKS: file },
  });
  assert.equal(status, 0, stderr);
  const [latest] = ownLag(file, fromMs, Date.now()).worst;
  assert.ok(latest !== undefined, 'nothing was late');
  const { lateMs, ranMs, waitedMs } = latest;
  assert.ok(lateMs > 250 && ranMs > 0 && ranMs + waitedMs > 250, JSON.stringify(latest));
  assert.deepEqual(ownLag(file, Date.now(), Date.now()).worst, [], 'of another time');
});
