// `npm run bench:scale` at a size too small to measure speed: its counts add up.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ScaleResult } from '../../bench/scale/measure.ts';
import { skip as noNode } from '../kernel/node.ts';
import { hasTool } from '../kernel/own-kernel.ts';
import { skip as noCluster } from './control-plane.ts';

const skip = noCluster || noNode || hasTool('nft', '--version');
const program = fileURLToPath(new URL('../../bench/scale.ts', import.meta.url));
const size = { services: 20, agents: 5, rounds: 2 };

test('the counts of the scale benchmark add up with one agent and with more', { skip }, () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-scale-'));
  const output = join(folder.path, 'scale.json');
  const flags = Object.entries(size).flatMap(([name, count]) => [`--${name}`, String(count)]);
  const argv = [program, ...flags, '--output', output];
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  const { results } = JSON.parse(readFileSync(output, 'utf8')) as { results: readonly ScaleResult[] };
  assert.deepEqual(
    results.map(({ services, agents }) => [services, agents]),
    [
      [20, 0],
      [20, 5],
    ],
  );
  for (const { kernel, writes, lease, lag, own } of results) {
    assert.equal(kernel.ports, 20);
    for (const kind of ['create virtualips', 'patch virtualips/status', 'patch services/status'])
      assert.ok((writes.kinds[kind] ?? 0) >= 20, `${kind}: ${writes.kinds[kind]}`);
    assert.ok(writes.mostInFlight >= 1 && writes.mostInFlight <= 16, `${writes.mostInFlight} in flight`);
    assert.deepEqual([lease.holder, lease.losses], ['scale', 0]);
    assert.ok(lease.renewals > 0 && lag.load.looks > 0);
    for (const { lateMs, ranMs } of own.load.worst) assert.ok(lateMs > 25 && ranMs > 0);
  }
  const [few, more] = results;
  assert.equal(few?.kernel.addresses, 20, 'the only agent holds them all');
  assert.deepEqual([few?.changes, more?.changes?.rounds], [null, 2]);
  assert.ok((more?.changes?.frameBytes ?? 0) > 0);
  assert.match(stdout, /^6 +Lease changed hands +0 +0$/m);
});
