import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { loadNative, Operation } from '../../src/host/native.ts';
import { untilTrue } from '../patience.ts';
import { Gate } from './gate.ts';
import { NOTHING } from './kernel-bytes.ts';

const SOURCE = new URL('../../src/host/native.ts', import.meta.url).href;
const native = loadNative();

// What every child and worker begins with: the addon, a socket, and a way to submit a lock of argv[2].
const PRELUDE = `
  import { openSync } from 'node:fs';
  import { loadNative, Operation } from ${JSON.stringify(SOURCE)};
  const native = loadNative();
  const nothing = new Uint8Array(0);
  const udp = () => {
    const fd = native.socket(2, 2, 0);
    const address = new Uint8Array([2, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    native.bind(fd, address);
    native.getsockname(fd, address);
    return { fd, address };
  };
  const lock = (path) => native.submit(Operation.flock, openSync(path, 'r'), nothing, 2, 1, 0);
`;

// For children that look at the processors that a thread may run on.
const PROCESSORS = `
  import { spawnSync } from 'node:child_process';
  import { readdirSync, readFileSync } from 'node:fs';
  const allowed = (task) => {
    const [, list] = /^Cpus_allowed_list:\\t(.*)$/m.exec(readFileSync(task + '/status', 'utf8'));
    return list.split(',').flatMap((range) => {
      const [first, last = first] = range.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => String(first + index));
    });
  };
  const tasks = () => readdirSync('/proc/self/task').map((id) => '/proc/self/task/' + id);
  const isWriter = (task) => readFileSync(task + '/comm', 'utf8') === 'vipward-writer\\n';
  const allowedToWriter = () => allowed(tasks().find(isWriter));
  const own = allowed('/proc/thread-self');
`;

test('a watch and a finished operation do not keep the process alive', async () => {
  const child = run(`
    native.watch(udp().fd, () => {});
    console.log(native.submit(Operation.close, 9999, nothing, 0, 0, 5000000));
  `);
  assert.deepEqual(await child.end, { code: 0, output: '-9\n' });
});

test('a process stays alive while a result is outstanding, and ends after it', async () => {
  using gate = new Gate(native);
  const child = run(`native.onResult((...words) => console.log(words)); lock(process.argv[1]);`, gate.path);
  assert.equal(await Promise.race([child.end, sleep(600, 'alive')]), 'alive');
  gate.open();
  assert.deepEqual(await child.end, { code: 0, output: '[ 1, 0 ]\n' });
});

test('process.exit does not wait for a blocked operation', async () => {
  using gate = new Gate(native);
  const child = run(`lock(process.argv[1]); setTimeout(() => process.exit(3), 20);`, gate.path);
  assert.deepEqual(await child.end, { code: 3, output: '' });
});

test('a throw in a callback is an uncaught exception, and later events are still delivered', async () => {
  const child = run(`
    process.on('uncaughtException', (error) => console.log('caught', error.message));
    const { fd, address } = udp();
    native.watch(fd, ([byte]) => {
      if (byte === 1) throw new Error('one');
      console.log('got', byte);
      native.unwatch(fd);
      clearInterval(alive);
    });
    const alive = setInterval(() => {}, 1000);
    native.send(fd, new Uint8Array([1]), 0, address);
    native.send(fd, new Uint8Array([2]), 0, address);
  `);
  assert.deepEqual(await child.end, { code: 0, output: 'caught one\ngot 2\n' });
});

test('workers load the addon, use it, and end by themselves', async () => {
  for (let turn = 0; turn < 5; turn++) {
    const worker = start(`
      native.watch(udp().fd, () => {});
      parentPort.postMessage(native.submit(Operation.close, 9999, nothing, 0, 0, 5000000));
    `);
    const [message, code] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
    assert.deepEqual([message, code], [-9, 0]);
  }
});

test('a worker terminates while its writer is blocked and its reader is busy', async () => {
  using gate = new Gate(native);
  const queued: number[] = [];
  for (let turn = 0; turn < 5; turn++) {
    const worker = start(
      `
      const { fd, address } = udp();
      native.watch(fd, () => native.send(fd, nothing, 0, address));
      native.send(fd, nothing, 0, address);
      lock(workerData);
      const last = udp().fd;
      native.submit(Operation.close, last, nothing, 0, 2, 0);
      parentPort.postMessage(last);
      setInterval(() => {}, 1000);
      `,
      gate.path,
    );
    queued.push((await once(worker, 'message')) as number);
    // A terminate that waited for the writer would never return: the gate opens only after this.
    await worker.terminate();
    assert.equal(native.submit(Operation.close, 9999, NOTHING, 0, 0, 5_000_000), -9);
  }
  gate.open();
  // The abandoned writers return from the kernel now, long after their environments have ended, and close.
  await untilTrue(() => queued.every((fd) => native.getsockname(fd, new Uint8Array(16)) === -9));
  assert.equal(native.submit(Operation.close, 9999, NOTHING, 0, 0, 5_000_000), -9);
});

test('a worker that exits in its own callback does not crash the process', async () => {
  const worker = start(`
    const { fd, address } = udp();
    native.watch(fd, () => process.exit(5));
    for (let turn = 0; turn < 100; turn++) native.send(fd, nothing, 0, address);
    setInterval(() => {}, 1000);
  `);
  assert.equal(await once(worker, 'exit'), 5);
});

test('a prepared writer thread is kept off the processor of its caller, where there is another', async () => {
  const child = run(`
    ${PROCESSORS}
    native.prepare();
    const left = new Set(allowedToWriter());
    console.log(left.isSubsetOf(new Set(own)), own.length === 1 || left.size === own.length - 1);
  `);
  assert.deepEqual(await child.end, { code: 0, output: 'true true\n' });
});

test('the threads take no signals', async () => {
  const child = run(`
    ${PROCESSORS}
    native.watch(udp().fd, () => {});
    native.prepare();
    const names = ['vipward-reader', 'vipward-writer'];
    const ours = tasks().filter((task) => names.includes(readFileSync(task + '/comm', 'utf8').trim()));
    const blocked = ours.map((task) => /^SigBlk:\\t(.*)$/m.exec(readFileSync(task + '/status', 'utf8'))[1]);
    // SIGHUP, SIGINT, SIGUSR2, SIGPIPE and SIGTERM.
    const all = (1n << 0n) | (1n << 1n) | (1n << 11n) | (1n << 12n) | (1n << 14n);
    console.log(...blocked.map((mask) => (BigInt('0x' + mask) & all) === all));
  `);
  assert.deepEqual(await child.end, { code: 0, output: 'true true\n' });
});

test('the writer thread keeps to the processors that its process is left with', async () => {
  const child = run(`
    ${PROCESSORS}
    native.submit(Operation.close, 9999, nothing, 0, 0, 5000000);
    spawnSync('taskset', ['-acp', own.at(-1), process.pid]);
    native.prepare();
    console.log(allowedToWriter().join() === own.at(-1));
  `);
  assert.deepEqual(await child.end, { code: 0, output: 'true\n' });
});

function run(
  body: string,
  argument = '',
): { readonly end: Promise<{ readonly code: number | null; readonly output: string }> } {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PRELUDE + body, argument], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, FORCE_COLOR: '0' },
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  return { end: once(child, 'close').then((code) => ({ code: code as number | null, output })) };
}

function start(body: string, data = ''): Worker {
  const code = `import { parentPort, workerData } from 'node:worker_threads';${PRELUDE}${body}`;
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), { workerData: data });
}

/** The first argument of the next event; rejects on an error of the emitter. */
function once(emitter: NodeJS.EventEmitter, name: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    emitter.once(name, resolve);
    emitter.once('error', reject);
  });
}
