// `npm start`: all of vipward on this machine, in namespaces of its own. This outer half starts the inner
// half under `unshare`, forwards signals, and returns its exit code.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { helpText } from '../process/help.ts';
import { home } from '../process/home.ts';
import { readOptions } from '../process/options.ts';
import { UsageError } from '../process/usage.ts';
import { type DemoInput, lifeline } from './demo/processes.ts';

const demoOptions = [
  {
    name: 'once',
    kind: 'flag',
    help: 'probe, change, probe again, and exit 0 only if every result is as declared',
  },
  {
    name: 'services',
    kind: 'text',
    placeholder: 'FILE',
    help: 'file of Service manifests (default examples/services.yaml)',
  },
  {
    name: 'outside',
    kind: 'text',
    placeholder: 'NAME',
    help: 'set by the demo itself: the namespace it must not change',
  },
  {
    name: 'folder',
    kind: 'text',
    default: '',
    placeholder: 'DIR',
    help: 'set by the demo itself: the folder of its files',
  },
] as const;

/** The time that the inner half gets to end. */
const patienceMs = 10_000;

const about = `Makes a node, a client and a backend in network namespaces, starts a controller and an
agent on a copy of the manifests, and shows what the client can reach and which rule decides,
until Ctrl-C removes everything. Needs no root where user namespaces are allowed.

Examples:
  npm start
  npm start -- --once
  vipward demo --services services.yaml`;

/**
 * Runs the demo. Exit code 0 after a stop or if every result was as declared, 1 if not or if the demo cannot
 * run here, 2 for wrong usage.
 */
export async function runDemo(argv: readonly string[], input: DemoInput): Promise<number> {
  try {
    const { values, help } = await readOptions(demoOptions, { argv, env: {} });
    if (help) {
      process.stdout.write(helpText(demoOptions.slice(0, 2), { usage: 'vipward demo [flags]', about }));
      return 0;
    }
    const services = values.services ?? fileURLToPath(new URL('examples/services.yaml', home));
    if (!existsSync(services)) {
      throw new UsageError(`--services ${services}: there is no such file; name one with Service manifests`);
    }
    // The demo edits the file that it serves; a controller accepts a folder too.
    if (statSync(services).isDirectory())
      throw new UsageError(`--services ${services}: a folder; name one file with Service manifests`);
    if (values.outside === undefined) return await outside(['--services', services], values.once, input);
    refuseOutside(values.outside);
    const { runInside } = await import('./demo/inside.ts');
    return await runInside({ ...input, services, once: values.once, folder: values.folder });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    process.stderr.write(`vipward demo: ${error.message}\n`);
    return error instanceof UsageError ? error.exitCode : 1;
  }
}

async function outside(flags: readonly string[], once: boolean, input: DemoInput): Promise<number> {
  const form = findForm();
  if (form === undefined) return 1;
  const folder = mkdtempSync(join(tmpdir(), 'vipward-demo-'));
  const ours = ['--outside', ownNamespace(), '--folder', folder];
  const words = ['demo', ...flags, ...(once ? ['--once'] : []), ...ours];
  // Neither carries data. When the IPC channel closes, the inner half knows that this process ended. Every
  // process of the demo has the pipe; when it closes, this half knows that all of them ended.
  const stdio = ['inherit', 'inherit', 'inherit', 'ipc', 'pipe'] as const;
  const child = spawn('unshare', [form, ...input.program, ...words], { stdio: [...stdio] });
  // Ctrl-C reaches both halves by itself; a signal sent to this process alone is forwarded.
  input.signal.addEventListener('abort', () => child.kill('SIGTERM'), { once: true });
  const { promise, resolve } = Promise.withResolvers<number>();
  child.on('error', (error) => {
    process.stderr.write(`vipward demo: unshare: ${error.message}\n`);
    resolve(1);
  });
  child.on('exit', (code) => resolve(code ?? 1));
  const exitCode = await promise;
  await end(child.stdio[lifeline] as Readable);
  // The inner half has removed the folder already, unless it was killed.
  rmSync(folder, { recursive: true, force: true });
  return exitCode;
}

/** The programs of a killed half go on writing until they notice. */
async function end(stream: Readable): Promise<void> {
  if (stream.readableEnded || stream.destroyed) return;
  stream.resume();
  await once(stream, 'close', { signal: AbortSignal.timeout(patienceMs) }).catch(() => undefined);
}

/** The form of unshare that works here. If none does, prints its error and what to do. */
function findForm(): string | undefined {
  for (const form of process.getuid?.() === 0 ? ['-nm', '-Urnm'] : ['-Urnm']) {
    const tried = spawnSync('unshare', [form, 'true'], { encoding: 'utf8' });
    if (tried.status === 0) return form;
    const words = tried.error?.message ?? tried.stderr.trim();
    process.stderr.write(`vipward demo: unshare ${form} is refused here: ${words}\n`);
  }
  process.stderr.write(
    'vipward demo: run with sudo, or sysctl kernel.apparmor_restrict_unprivileged_userns=0\n',
  );
  return undefined;
}

/** The inner half changes the network, so it must not run in the namespace that the demo was started in. */
function refuseOutside(name: string): void {
  if (ownNamespace() !== name) return;
  throw new Error(`${name} is the network namespace the demo was started in: the demo changes only its own`);
}

function ownNamespace(): string {
  return readlinkSync('/proc/self/ns/net');
}
