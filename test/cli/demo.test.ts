// The demo as a user starts it: its probes are as declared, and it leaves nothing however it ends.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { until } from '../patience.ts';
import { program } from '../program.ts';

const services = fileURLToPath(new URL('services.yaml', import.meta.url));
const form = process.getuid?.() === 0 ? '-nm' : '-Urnm';
const tried = spawnSync('unshare', [form, 'true'], { encoding: 'utf8' });
const skip = tried.status !== 0 && `unshare ${form}: ${tried.error?.message ?? tried.stderr.trim()}`;
if (skip) process.stderr.write(`the demo cannot run here: ${skip}\n`);

interface Demo extends Disposable {
  readonly child: ChildProcess;
  readonly folder: string;
  readonly output: () => string;
  readonly ended: Promise<number | null>;
}

/** Starts the demo with a temporary folder of its own, by which its processes and files are found. */
function startDemo(...flags: string[]): Demo {
  const folder = mkdtempSync(join(tmpdir(), 'vipward-demo-test-'));
  const child = spawn(process.execPath, [program, 'demo', '--services', services, ...flags], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (part) => {
      text += String(part);
    });
  }
  const { promise: ended, resolve } = Promise.withResolvers<number | null>();
  child.on('close', resolve);
  const dispose = () => {
    // There is none, unless a test has failed.
    for (const pid of processesOf(folder)) process.kill(Number(pid), 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  return { child, folder, output: () => text, ended, [Symbol.dispose]: dispose };
}

/** Processes whose environment names the folder: everything that a demo has started, in any namespace. */
function processesOf(folder: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`TMPDIR=${folder}\0`);
    } catch {
      return false;
    }
  });
}

function wordsOf(pid: string): string[] {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
}

/** Interrupts the process group, as a terminal does. A process that has ended is no error. */
function interrupt({ pid = 0 }: ChildProcess): void {
  try {
    process.kill(-pid, 'SIGINT');
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH');
  }
}

async function nothingIsLeft(demo: Demo): Promise<void> {
  await until('no process is left', () => processesOf(demo.folder).length === 0, demo.output);
  await until('no file is left', () => readdirSync(demo.folder).length === 0, demo.output);
}

test('demo --once finds every probe as declared, before, during and after a change', { skip }, async () => {
  using demo = startDemo('--once');
  assert.equal(await demo.ended, 0, demo.output());
  const output = demo.output();
  assert.equal(output.match(/^31 probes, all as declared$/gm)?.length, 3, output);
  assert.match(output, /^ok {2}10\.87\.\S+ +443\/tcp +declared +backend +backend in /m);
  assert.match(output, /^ok {2}fd87::16 +53\/udp +declared +node +node in /m);
  assert.match(output, /^ok {2}10\.87\.\S+ +3868\/sctp +declared +node +node in /m);
  assert.match(output, /^ok {2}fd87::16 +9999\/sctp +undeclared +nobody +no answer /m);
  assert.match(output, /^ok {2}10\.87\.\S+ +30080\/tcp +NodePort +nobody +no answer /m);
  assert.match(output, /^ok {2}10\.87\.\S+ +80\/tcp +not from here +nobody +no answer /m);
  assert.match(output, /^\w+ opens 8443\/tcp: in the kernel [\d.]+ ms after the file was written/m);
  assert.doesNotMatch(output, /^NO /m);
  await nothingIsLeft(demo);
});

test('Ctrl-C twice ends a live demo with nothing left and exit code 0', { skip }, async () => {
  using demo = startDemo();
  await until('probes', () => demo.output().includes('all as declared'), demo.output);
  // As a terminal does: the whole group gets it, and again before the first one is handled.
  process.kill(-(demo.child.pid ?? 0), 'SIGINT');
  await sleep(30);
  interrupt(demo.child);
  assert.equal(await demo.ended, 0, demo.output());
  assert.match(demo.output(), /everything is removed\n$/);
  await nothingIsLeft(demo);
});

test('a demo that is killed leaves no process and no file', { skip }, async () => {
  using demo = startDemo();
  await until('probes', () => demo.output().includes('all as declared'), demo.output);
  demo.child.kill('SIGKILL');
  await demo.ended;
  await nothingIsLeft(demo);
});

test('a demo whose inner process is killed exits 1 and leaves no process and no file', { skip }, async () => {
  using demo = startDemo();
  await until('probes', () => demo.output().includes('all as declared'), demo.output);
  const of = (word: string) => {
    return Number(processesOf(demo.folder).find((pid) => wordsOf(pid).includes(word)));
  };
  const agent = of('agent');
  process.kill(agent, 'SIGSTOP');
  process.kill(of('--outside'), 'SIGKILL');
  setTimeout(() => process.kill(agent, 'SIGCONT'), 500);
  assert.equal(await demo.ended, 1, demo.output());
  // A process that still writes would make removed files again.
  assert.deepEqual(processesOf(demo.folder).map(wordsOf), []);
  await nothingIsLeft(demo);
});

test('a demo that is stopped while it starts leaves no process and no file', { skip }, async () => {
  using demo = startDemo();
  await until('a start', () => demo.output().includes('are starting'), demo.output);
  demo.child.kill('SIGTERM');
  assert.equal(await demo.ended, 0, demo.output());
  await nothingIsLeft(demo);
});

test('the demo names a missing file, and refuses to change the namespace that it was started in', () => {
  const of = (...words: string[]) => {
    return spawnSync(process.execPath, [program, 'demo', ...words], { encoding: 'utf8' });
  };
  const missing = of('--services', '/nonexistent.yaml');
  assert.equal(missing.status, 2);
  assert.match(missing.stderr, /--services \/nonexistent\.yaml: there is no such file/);
  const folder = of('--services', tmpdir());
  assert.equal(folder.status, 2);
  assert.match(folder.stderr, /--services \S+: a folder; name one file with Service manifests/);
  const link = spawnSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' }).stdout.trim();
  const refused = of('--services', services, '--outside', link);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /the demo changes only its own/);
});

test('without unshare the demo exits 1 with the reason and the remedy', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vipward-demo-test-'));
  const words = [program, 'demo', '--once', '--services', services];
  const { status, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', env: { PATH: folder } });
  rmSync(folder, { recursive: true });
  assert.equal(status, 1);
  assert.match(stderr, /unshare -\w+ is refused here: .*ENOENT/);
  assert.match(stderr, /run with sudo/);
});
