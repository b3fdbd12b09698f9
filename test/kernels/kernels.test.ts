// The kernel tests on kernels that users run: Debian's 5.10, 6.1 and 6.12, each emulated (boot.sh). Nothing
// here is timed.

import assert from 'node:assert/strict';
import { existsSync, globSync } from 'node:fs';
import { describe, test } from 'node:test';
import { cannotBoot, compileCache, libraries, run } from './guest.ts';

const kernels = ['5.10', '6.1', '6.12'];
/**
 * Kernel tests that take nothing but a kernel, node, and the oracles that are brought along. A whole node is
 * two programs, which an emulated machine takes a minute to start: there is one, for its whole life.
 */
const files = globSync('test/kernel/{ruleset*,life-whole}.test.ts');
/** An emulated guest is ten to twenty times slower than this machine. */
const guestSeconds = 900;
const timeoutMs = (guestSeconds + 60) * 1000;

/**
 * What the guest gets: our code, the addon, every library, and what nft reads the names of protocols from.
 */
const brought = [
  ...['src', 'test', 'package.json', 'build/syscalls.node', 'build/namespaces.node', '/etc/protocols'],
  ...[process.execPath, ...libraries()],
  ...['/usr/bin/bash', '/usr/sbin/nft', '/usr/sbin/ip'],
].filter((path) => existsSync(path));

// One core a guest is all that a small machine has to give.
describe('on older kernels', { concurrency: 2, timeout: 3 * timeoutMs }, () => {
  const compiled = compileCache();
  const settings = `export VIPWARD_TEST_PATIENCE=8 NODE_COMPILE_CACHE=${compiled ?? ''};`;
  for (const kernel of kernels) {
    test(`the kernel tests pass on ${kernel}`, { skip: cannotBoot(kernel), timeout: timeoutMs }, async () => {
      const argv = [
        '-m',
        '2048',
        '-t',
        String(guestSeconds),
        ...[...brought, ...(compiled === null ? [] : [compiled])].flatMap((path) => ['-a', path]),
        kernel,
      ];
      const node = `exec ${process.execPath} --test --test-isolation=none ${files.join(' ')}`;
      const output = await run([...argv, 'sh', '-c', `${settings} ${node}`]);
      const passed = Number(/^ℹ pass (\d+)$/m.exec(output)?.[1] ?? 0);
      assert.ok(passed > 30, `only ${passed} tests ran:\n${output}`);
      assert.match(output, /^ℹ fail 0$/m, output);
      assert.match(output, /^✔ a node from its first VIP to its clean-up /m, output);
    });
  }
});
