// What every benchmark does first: builds the product as it is shipped, and finds a way to make namespaces.

import { spawnSync } from 'node:child_process';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';

export const root: string = fileURLToPath(new URL('..', import.meta.url));

// The xtables lock is in /run; the benchmark has an empty /run of its own that it can write to.
const prepare = 'mount -t tmpfs tmpfs /run; exec "$@"';

/** Where and when something was measured. */
export interface Machine {
  readonly date: string;
  readonly kernel: string;
  readonly node: string;
  readonly cpus: number;
  readonly cpu: string;
}

export function thisMachine(): Machine {
  return {
    date: new Date().toISOString().slice(0, 10),
    kernel: release(),
    node: process.version,
    cpus: cpus().length,
    cpu: cpus()[0]?.model ?? '',
  };
}

/** Both programs are measured as they are shipped: bundled. */
export function buildProduct(): void {
  run(process.execPath, ['deploy/bundle.ts', 'dist/cli']);
}

/**
 * How a program is started in namespaces of its own; undefined, after the remedy was printed, if it cannot.
 */
export function findWrapper(): readonly string[] | undefined {
  const forms = process.getuid?.() === 0 ? ['-nm', '-Urnm'] : ['-Urnm'];
  for (const form of forms) {
    if (spawnSync('unshare', [form, 'true']).status === 0)
      return ['unshare', form, 'sh', '-c', prepare, 'sh'];
  }
  process.stderr.write(
    'bench: no namespaces: run with sudo, or sysctl kernel.apparmor_restrict_unprivileged_userns=0\n',
  );
  return undefined;
}

/** Whether a program is not installed. */
export function isMissing(program: string): boolean {
  return spawnSync(program, ['--version']).error !== undefined;
}

/** Runs a program to its end; throws for any exit code but 0. */
export function run(program: string, argv: readonly string[]): void {
  const { status, error } = spawnSync(program, argv, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw error ?? new Error(`${program} ${argv.join(' ')}: exit code ${status}`);
}
