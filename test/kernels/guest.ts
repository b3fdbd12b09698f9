// Guests of boot.sh: whether one can be booted here, what it is given, and what it prints.

import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const boot = 'test/kernels/boot.sh';

/** Everything that boot.sh and its guest print. */
export async function run(argv: readonly string[]): Promise<string> {
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
export function cannotBoot(kernel: string): string | false {
  const tools = ['qemu-system-x86_64', 'busybox', 'cpio', 'xz'];
  const missing = tools.filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
  if (missing.length > 0)
    return `${missing.join(', ')} missing: apt install qemu-system-x86 busybox-static cpio xz-utils`;
  const cache = process.env['CACHE'] ?? join(tmpdir(), `kernels-${process.getuid?.() ?? 0}`);
  const fetched = existsSync(cache) && readdirSync(cache).some((name) => name.startsWith(`${kernel}.`));
  return fetched ? false : `kernel ${kernel} is not fetched: run ${boot} -f ${kernel}`;
}

/**
 * What this Node has compiled so far, in a folder of its own, since others write to theirs meanwhile. In an
 * emulated machine half a minute of each start would go into compiling. Null where nothing is kept.
 */
export function compileCache(): string | null {
  const cache = process.env['NODE_COMPILE_CACHE'];
  if (cache === undefined || !existsSync(cache)) return null;
  const copy = mkdtempSync(join(tmpdir(), 'vipward-compiled-'));
  process.once('exit', () => rmSync(copy, { recursive: true, force: true }));
  // A file that is being written just now is not in it, and is compiled there.
  spawnSync('sh', ['-c', 'cp -r "$0"/v* "$1"; find "$1" -name "*.tmp*" -delete', cache, copy]);
  return copy;
}

/** Packages by folder, but for compilers, linters and this Node itself. */
export function libraries(): string[] {
  const unneeded = /^(\.|@|node-|typescript$)/;
  const plain = readdirSync('node_modules').filter((name) => !unneeded.test(name));
  return [...plain, '@pinojs'].map((name) => join('node_modules', name));
}
