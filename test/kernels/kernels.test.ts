// The kernel tests on kernels that users run: Debian's 5.10, 6.1 and 6.12, each emulated (boot.sh). Nothing
// here is timed.

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, globSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';

const kernels = ['5.10', '6.1', '6.12'];
const boot = 'test/kernels/boot.sh';
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

async function run(argv: readonly string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(boot, [...argv], { maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    return `${stdout ?? ''}${stderr ?? String(error)}`;
  }
}

/**
 * Why a kernel is not tried here, or false. The run has no network, so a kernel must have been fetched
 * before.
 */
function cannotBoot(kernel: string): string | false {
  const tools = ['qemu-system-x86_64', 'busybox', 'cpio', 'xz'];
  const missing = tools.filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
  if (missing.length > 0)
    return `${missing.join(', ')} missing: apt install qemu-system-x86 busybox-static cpio xz-utils`;
  const cache = process.env['CACHE'] ?? join(tmpdir(), `kernels-${process.getuid?.() ?? 0}`);
  const fetched = existsSync(cache) && readdirSync(cache).some((name) => name.startsWith(`${kernel}.`));
  return fetched ? false : `kernel ${kernel} is not fetched: run ${boot} -f ${kernel}`;
}

/** Packages by folder, but for compilers, linters and this Node itself. */
function libraries(): string[] {
  const unneeded = /^(\.|@|node-|typescript$)/;
  const plain = readdirSync('node_modules').filter((name) => !unneeded.test(name));
  return [...plain, '@pinojs'].map((name) => join('node_modules', name));
}
