// The kernel tests on kernels that users run: Debian's 5.10, 6.1 and 6.12, each emulated (boot.sh). Nothing
// here is timed.

import assert from 'node:assert/strict';
import { existsSync, globSync } from 'node:fs';
import { describe, test } from 'node:test';
import { cannotBoot, libraries, run } from './guest.ts';

const kernels = ['5.10', '6.1', '6.12'];
/** Kernel tests that take nothing but a kernel, node, and the oracles that are brought along. */
const files = globSync('test/kernel/ruleset*.test.ts');
/** An emulated guest is ten to twenty times slower than this machine. */
const guestSeconds = 600;

/**
 * What the guest gets: our code, the addon, every library, and what nft reads the names of protocols from.
 */
const brought = [
  ...['src', 'test', 'package.json', 'build/syscalls.node', 'build/namespaces.node', '/etc/protocols'],
  ...libraries(),
  ...['/usr/bin/bash', '/usr/sbin/nft', '/usr/sbin/ip'].filter((path) => existsSync(path)),
];

// One core a guest is all that a small machine has to give.
describe('on older kernels', { concurrency: 2 }, () => {
  for (const kernel of kernels) {
    test(`the kernel tests pass on ${kernel}`, { skip: cannotBoot(kernel) }, async () => {
      const argv = [
        '-m',
        '2048',
        '-t',
        String(guestSeconds),
        ...brought.flatMap((path) => ['-a', path]),
        kernel,
      ];
      const command = [process.execPath, '--test', '--test-isolation=none', ...files];
      const output = await run([...argv, ...command]);
      const passed = Number(/^ℹ pass (\d+)$/m.exec(output)?.[1] ?? 0);
      assert.ok(passed > 10, `only ${passed} tests ran:\n${output}`);
      assert.match(output, /^ℹ fail 0$/m, output);
    });
  }
});
