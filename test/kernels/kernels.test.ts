// The kernel tests on kernels that users run: Debian's 5.10, 6.1 and 6.12, each emulated (boot.sh). Nothing
// here is timed.

import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { describe, test } from 'node:test';
import { cannotBoot, runInGuest } from './guest.ts';

const kernels = ['5.10', '6.1', '6.12'];
/**
 * Kernel tests that take nothing but a kernel, node, and the oracles that are brought along. A whole node is
 * two programs, which an emulated machine takes a minute to start: there is one, for its whole life. All
 * others can be had by their names, as `VIPWARD_GUEST_TESTS='traffic-*'`: each kernel takes half an hour.
 */
const usual = '{ruleset*,life-whole}';
const chosen = process.env['VIPWARD_GUEST_TESTS'] ?? usual;
const files = globSync(`test/kernel/${chosen}.test.ts`);
const seconds = chosen === usual ? 900 : 3600;
const timeoutMs = (seconds + 60) * 1000;

/** The oracles, and what nft reads the names of protocols from. */
const paths = ['test', '/etc/protocols', '/usr/bin/bash', '/usr/sbin/nft', '/usr/sbin/ip'];

// A guest takes a whole core: two at a time, so that this file is not the last to end.
describe('on older kernels', { concurrency: 2, timeout: 3 * timeoutMs }, () => {
  for (const kernel of kernels) {
    test(`the kernel tests pass on ${kernel}`, { skip: cannotBoot(kernel), timeout: timeoutMs }, async () => {
      const node = `exec ${process.execPath} --test --test-isolation=none ${files.join(' ')}`;
      const script = `export VIPWARD_TEST_PATIENCE=8; ${node}`;
      const output = await runInGuest({ kernel, seconds, paths, script });
      const passed = Number(/^ℹ pass (\d+)$/m.exec(output)?.[1] ?? 0);
      assert.match(output, /^ℹ fail 0$/m, output);
      assert.ok(passed >= (chosen === usual ? 30 : 1), `only ${passed} tests ran:\n${output}`);
      if (chosen === usual) assert.match(output, /^✔ a node from its first VIP to its clean-up /m, output);
    });
  }
});
