// Guests of boot.sh: whether one can be booted here, what it is given, and what it prints. Each is emulated,
// which takes fifteen times the processor time of this machine.

import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempDisposableSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

export interface Guest {
  /** Such as `6.1`. */
  readonly kernel: string;
  /** The time limit on this machine's clock. */
  readonly seconds: number;
  readonly memoryMib?: number;
  /** Modules that it lacks. */
  readonly without?: readonly string[];
  /** Files that it gets beside the product, at the same paths. */
  readonly paths?: readonly string[];
  /** The files of tests that its script runs. */
  readonly tests: readonly string[];
  /** The script of its shell; VIPWARD_TEST_PROGRAM is our program there. */
  readonly script: string;
}

type Folder = ReturnType<typeof mkdtempDisposableSync>;

const boot = 'test/kernels/boot.sh';

/** What tests import of us, the addons, every library, and this Node. */
const product = [
  ...['src', 'package.json', 'build/syscalls.node', 'build/namespaces.node', process.execPath],
  ...libraries(),
];

/** Everything that boot.sh and its guest print. */
export async function runInGuest({
  kernel,
  seconds,
  memoryMib = 2048,
  without = [],
  paths = [],
  tests,
  script,
}: Guest): Promise<string> {
  using program = bundle();
  using compiled = compileCache(tests);
  const brought = [...product, program.path, compiled.path, ...paths].filter(existsSync);
  const main = resolve(program.path, 'main.js');
  const argv = [
    ...['-m', String(memoryMib), '-t', String(seconds)],
    ...without.flatMap((module) => ['-w', module]),
    ...brought.flatMap((path) => ['-a', path]),
    ...[kernel, 'sh', '-c'],
    `export NODE_COMPILE_CACHE=${compiled.path} VIPWARD_TEST_PROGRAM=${main}; ` +
      `export VIPWARD_TEST_NAMESPACES=made; ${script}`,
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
 * Why a kernel cannot be booted here, or false; `programs` are those that its tests need. The run has no
 * network, so a kernel must have been fetched before.
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

/** Our program as the image has it: a few files, which an emulated machine reads in a third of the time. */
function bundle(): Folder {
  // Two levels below the checkout, where it looks for what it does not contain.
  const folder = mkdtempDisposableSync(join('build', 'guest-'));
  execFileSync(process.execPath, ['deploy/bundle.ts', folder.path]);
  return folder;
}

/** What this Node compiles to load the tests. It saves half a minute of compiling at each start there. */
function compileCache(tests: readonly string[]): Folder {
  const folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-compiled-'));
  const none = ['--test', '--test-isolation=none', '--test-skip-pattern=/./'];
  const env = { ...process.env, NODE_COMPILE_CACHE: folder.path, NODE_TEST_CONTEXT: undefined };
  execFileSync(process.execPath, [...none, ...tests], { env });
  return folder;
}

/** Packages by folder, but for compilers, linters and this Node itself. */
function libraries(): string[] {
  const unneeded = /^(\.|@|node-|typescript$)/;
  const plain = readdirSync('node_modules').filter((name) => !unneeded.test(name));
  return [...plain, '@pinojs'].map((name) => join('node_modules', name));
}
