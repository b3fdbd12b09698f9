// A config file that is followed from its first reading on.
import { deepEqual, match } from 'node:assert/strict';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { controllerOptions as specs } from '../../src/controller/config.ts';
import { watchConfig } from '../../src/process/config.ts';
import { type OptionResult, readOptions } from '../../src/process/options.ts';
import { untilTrue } from '../patience.ts';

test('a config file that changes before it is watched is read once, an unchanged one is not', async () => {
  for (const [second, expected] of [
    ['pool: p=10.0.0.2', ['p=10.0.0.2', 'p=10.0.0.3']],
    ['pool: p=10.0.0.1', ['p=10.0.0.3']],
  ] as const) {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-config-'));
    const path = join(folder.path, 'config.yaml');
    const input = { argv: ['--config', path], env: {} };
    writeFileSync(path, 'pool: p=10.0.0.1\n');
    const { values: inForce } = await readOptions(specs, input);
    writeFileSync(path, `${second}\n`);
    const seen: string[] = [];
    const ending = new AbortController();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onChange = ({ values }: OptionResult<typeof specs>): void => {
      seen.push(`${values.pool}`);
      if (seen.length === expected.length) resolve();
      else writeFileSync(path, 'pool: p=10.0.0.3\n');
    };
    const reloads = new EventTarget();
    watchConfig({ path, specs, input, inForce, reloads, onChange, onError: reject, signal: ending.signal });
    if (expected.length === 1) setTimeout(() => writeFileSync(path, 'pool: p=10.0.0.3\n'), 200);
    await promise;
    ending.abort();
    deepEqual(seen, expected);
  }
});

test('a config file that becomes unreadable is an error each time it is read', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-config-'));
  const path = join(folder.path, 'config.yaml');
  const input = { argv: ['--config', path], env: {} };
  writeFileSync(path, 'pool: p=10.0.0.1\n');
  const { values: inForce } = await readOptions(specs, input);
  const ending = new AbortController();
  const reloads = new EventTarget();
  const errors: Error[] = [];
  const onChange = () => errors.push(new Error('changed'));
  const onError = (error: Error) => errors.push(error);
  watchConfig({ path, specs, input, inForce, reloads, onChange, onError, signal: ending.signal });
  writeFileSync(path, '- a\n');
  await untilTrue(() => errors.length > 0);
  const before = errors.length;
  reloads.dispatchEvent(new Event('reload'));
  await untilTrue(() => errors.length > before);
  ending.abort();
  for (const { message } of errors) match(message, /config\.yaml: expected lines of the form/);
});
