// `npm test`: one `node --test` of everything (or of the files and flags given), in a network and a mount
// namespace of its own, so that no test can need the network and none can reach the machine's firewall.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setLinkUp } from './namespaces.ts';
import { endOverdue } from './overdue.ts';

const INSIDE = '--inside';
/** Longer than any file takes on a machine half as fast, but for kernel tests of one's own choice. */
const longestFileMs = (process.env['VIPWARD_GUEST_TESTS'] === undefined ? 45 : 7 * 60) * 60_000;
const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Everything. The runner sorts files by their paths, so an absolute one comes first: emulated kernels take
 * the processor time that other files leave over, which is most of it.
 */
const allFiles = [join(root, 'test/kernels/**/*.test.ts'), 'test/!(kernels)/**/*.test.ts', 'test/*.test.ts'];

// The machine's /run holds the xtables lock and named namespaces; here it is empty and ours to write to.
const PREPARE = 'mount -t tmpfs tmpfs /run; exec "$@"';

process.chdir(root);
const given = process.argv.slice(2);
if (given[0] === INSIDE) {
  setLinkUp(1);
  runTests(given.slice(1));
} else {
  const wrapper = findWrapper();
  if (wrapper) {
    // From here on no test may be skipped for lack of a namespace.
    process.env['VIPWARD_TEST_NAMESPACES'] = 'made';
    const self = [process.execPath, fileURLToPath(import.meta.url), INSIDE, ...given];
    follow([...wrapper, 'sh', '-c', PREPARE, 'sh', ...self]);
  } else runTests(given);
}

/**
 * Tests start the program as it is shipped, bundled; its sources take twice the processor time to load. A
 * bundle stays where it is, since what Node has compiled is known by its path.
 */
function bundleProgram(): void {
  const folder = join(root, 'build/tested');
  execFileSync(process.execPath, ['deploy/bundle.ts', folder]);
  process.env['VIPWARD_TEST_PROGRAM'] = join(folder, 'main.js');
}

/** The first form of unshare that works here; the words of those that do not are printed. */
function findWrapper(): readonly string[] | undefined {
  const forms = process.getuid?.() === 0 ? ['-nm', '-Urnm'] : ['-Urnm'];
  for (const form of forms) {
    const tried = spawnSync('unshare', [form, 'true'], { encoding: 'utf8' });
    if (tried.status === 0) return ['unshare', form];
    const words = tried.error?.message ?? tried.stderr.trim();
    process.stdout.write(`unshare ${form} is refused here: ${words}\n`);
  }
  process.stdout.write(
    'kernel tests are skipped: run with sudo, or sysctl kernel.apparmor_restrict_unprivileged_userns=0\n',
  );
  return undefined;
}

function runTests(given: readonly string[]): void {
  bundleProgram();
  const files = given.filter((word) => !word.startsWith('-'));
  const flags = given.filter((word) => word.startsWith('-'));
  // The compile cache gives coverage the wrong lines.
  if (flags.includes('--experimental-test-coverage')) delete process.env['NODE_COMPILE_CACHE'];
  const runner = follow([
    process.execPath,
    '--test',
    // Two files wait for emulated kernels.
    '--test-concurrency=5',
    '--test-timeout=300000',
    '--test-reporter=./test/reporter.ts',
    '--test-reporter-destination=stdout',
    ...flags,
    ...(files.length > 0 ? files : allFiles),
  ]);
  endOverdue(runner, longestFileMs, (text) => process.stderr.write(text));
}

/**
 * Runs a program in this one’s place: its output is ours, signals are passed on, and its end is our end.
 * Returns its id.
 */
function follow(argv: readonly string[]): number {
  const [program = '', ...rest] = argv;
  const child = spawn(program, rest, { stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`${program}: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on('exit', (code) => {
    process.exitCode = code ?? 1;
  });
  return child.pid ?? 0;
}
