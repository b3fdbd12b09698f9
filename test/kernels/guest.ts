// Guests of boot.sh: whether one can be booted here, what it is given, and what it prints. Each is emulated,
// ten to twenty times slower than this machine.

import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Guest {
  /** Such as `6.1`. */
  readonly kernel: string;
  /** After which it is ended. */
  readonly seconds: number;
  /** Modules that it lacks. */
  readonly without?: readonly string[];
  /** What it is given beside the product, by path: that is where it has it. */
  readonly paths?: readonly string[];
  /** What its shell does. */
  readonly script: string;
}

const boot = 'test/kernels/boot.sh';

/** Our code, the addons, every library, and this Node. */
const product = [
  ...['src', 'package.json', 'build/syscalls.node', 'build/namespaces.node', process.execPath],
  ...libraries(),
];

/** Everything that boot.sh and its guest print. */
export async function runInGuest({
  kernel,
  seconds,
  without = [],
  paths = [],
  script,
}: Guest): Promise<string> {
  const compiled = compileCache();
  const brought = [...product, ...paths, ...(compiled === null ? [] : [compiled])].filter(existsSync);
  const argv = [
    ...['-m', '2048', '-t', String(seconds)],
    ...without.flatMap((module) => ['-w', module]),
    ...brought.flatMap((path) => ['-a', path]),
    ...[kernel, 'sh', '-c', `export NODE_COMPILE_CACHE=${compiled ?? ''}; ${script}`],
  ];
  try {
    const { stdout } = await promisify(execFile)(boot, argv, { maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    return `${stdout ?? ''}${stderr ?? String(error)}`;
  }
}

/**
 * Why a kernel is not tried here, or false; `programs` are what its tests take along. The run has no network,
 * so a kernel must have been fetched before.
 */
export function cannotBoot(kernel: string, programs: readonly string[] = []): string | false {
  const needed = ['qemu-system-x86_64', 'busybox', 'cpio', 'xz', ...programs];
  const missing = needed.filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
  const packages = 'qemu-system-x86 busybox-static cpio xz-utils iptables ipset';
  if (missing.length > 0) return `${missing.join(', ')} missing: apt install ${packages}`;
  const cache = process.env['CACHE'] ?? join(tmpdir(), `kernels-${process.getuid?.() ?? 0}`);
  const fetched = existsSync(cache) && readdirSync(cache).some((name) => name.startsWith(`${kernel}.`));
  return fetched ? false : `kernel ${kernel} is not fetched: run ${boot} -f ${kernel}`;
}

/**
 * What this Node has compiled so far, in a folder of its own, since others write to theirs meanwhile. In an
 * emulated machine half a minute of each start would go into compiling. Null where nothing is kept.
 */
function compileCache(): string | null {
  const cache = process.env['NODE_COMPILE_CACHE'];
  if (cache === undefined || !existsSync(cache)) return null;
  const copy = mkdtempSync(join(tmpdir(), 'vipward-compiled-'));
  process.once('exit', () => rmSync(copy, { recursive: true, force: true }));
  // A file that is being written just now is not in it, and is compiled there.
  spawnSync('sh', ['-c', 'cp -r "$0"/v* "$1"; find "$1" -name "*.tmp*" -delete', cache, copy]);
  return copy;
}

/** Packages by folder, but for compilers, linters and this Node itself. */
function libraries(): string[] {
  const unneeded = /^(\.|@|node-|typescript$)/;
  const plain = readdirSync('node_modules').filter((name) => !unneeded.test(name));
  return [...plain, '@pinojs'].map((name) => join('node_modules', name));
}
