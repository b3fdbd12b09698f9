// A wait in vain fails its test and is named.
import { equal, match } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { untilTrue } from './patience.ts';

const source = fileURLToPath(new URL('patience.ts', import.meta.url));

/** The output of a process that waits without patience. */
function waiting(call: string): { status: number | null; stderr: string } {
  const code = `import { until, untilTrue } from '${source}'; let rain = 0; await ${call};`;
  const env = { ...process.env, VIPWARD_TEST_PATIENCE: '0.001' };
  const argv = ['--input-type=module', '-e', code];
  return spawnSync(process.execPath, argv, { encoding: 'utf8', env, timeout: 60_000 });
}

test('a wait in vain fails with its name, the last error, and more words', () => {
  const named = waiting("until('rain', () => { throw new Error('a clear sky'); }, () => 'and more')");
  match(named.stderr, /Error: waited for: rain\nError: a clear sky\nand more\n/);
  const own = waiting('untilTrue(() => rain > 5)');
  match(own.stderr, /Error: waited for: \(\) => rain > 5\n/);
  for (const { status } of [named, own]) equal(status, 1);
});

test('a wait goes on after errors until its condition holds', async () => {
  let looks = 0;
  await untilTrue(async () => {
    if (++looks < 3) throw new Error('not yet');
    return looks === 5;
  });
  equal(looks, 5);
});
