// A legacy table is rewritten under the lock, with its counters, and not at all if a system call fails.
import assert from 'node:assert/strict';
import { existsSync, fstatSync, mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TableStep, Transaction } from '../../src/dialects/dialect.ts';
import { Kernel } from '../../src/host/kernel.ts';
import { Operation, type Outcome } from '../../src/host/native.ts';
import { generation, setFull } from '../netlink/captured.ts';
import { recordedNative, type Submitted } from './recorded-native.ts';

const [infoBytes, entries, replaceBytes] = [84, 2, 96 + 8];
/** What struct ipt_replace begins with: the name, and all up to the pointer to the counters. */
const replaced = Array.from({ length: 88 }, (_, index) => index + 1);
const object = {} as Transaction['steps'][number]['records'][number]['objects'][number];

const step: TableStep<typeof object> = {
  object,
  family: 4,
  table: 'raw',
  sets: { door: 'nfnetlink', bytes: new Uint8Array(4) },
  edit: ({ info, entries: found, sets }) => {
    assert.deepEqual([info.length, found.length, sets], [infoBytes, 8, Uint8Array.of(7)]);
    return { replace: Uint8Array.from([...replaced, ...new Array(16).fill(0)]), origins: [-1, 1, 0] };
  },
};

/** Answers as the kernel would, but for the call that fails. */
async function rewriting(fails: (call: string, times: number) => number | undefined, family: 4 | 6 = 4) {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-lock-'));
  const lockFile = join(folder.path, 'lock');
  const calls: string[] = [];
  const native = recordedNative((one) => {
    const call = nameOf(one);
    calls.push(call);
    return fails(call, calls.filter((other) => other === call).length) ?? answerTo(call, one);
  });
  const kernel = new Kernel(native, { lockFile });
  const receipt = await kernel.commit({ door: 'nfnetlink', steps: [], tables: [{ ...step, family }] });
  assert.ok(existsSync(lockFile));
  const lock = native.submitted.find(({ operation }) => operation === Operation.flock)?.fd ?? 0;
  assert.throws(() => fstatSync(lock), { code: 'EBADF' });
  const did = { calls: [...calls], submitted: [...native.submitted], receipt };
  kernel[Symbol.dispose]();
  assert.equal(
    native.calls.includes('close 101'),
    native.calls.includes(`socket ${family === 4 ? 2 : 10} 3 255`),
  );
  return did;
}

function nameOf({ operation, bytes }: Submitted): string {
  const option = bytes.length < 8 ? 0 : new DataView(bytes.buffer).getInt32(4, true);
  if (operation === Operation.getsockopt) return option === 64 ? 'GET_INFO' : 'GET_ENTRIES';
  if (operation === Operation.setsockopt) return option === 64 ? 'REPLACE' : 'ADD_COUNTERS';
  return operation === Operation.flock ? 'flock' : operation === Operation.exchange ? 'sets' : 'close';
}

function answerTo(call: string, { bytes }: Submitted): Outcome {
  if (call === 'GET_INFO') {
    const info = bytes.slice(8);
    new DataView(info.buffer).setUint32(76, entries, true);
    new DataView(info.buffer).setUint32(80, 8, true);
    return info;
  }
  if (call === 'GET_ENTRIES') return bytes.slice(8);
  if (call === 'sets') return Uint8Array.of(7);
  if (call === 'REPLACE') return Uint8Array.from({ length: entries * 16 }, (_, index) => index + 1);
  return 0;
}

test('the calls name the options of their family as the kernel does', async () => {
  for (const [family, level] of [
    [4, 0],
    [6, 41],
  ] as const) {
    const { submitted } = await rewriting(() => undefined, family);
    const options = submitted.flatMap(({ operation, bytes }) => {
      const { getsockopt, setsockopt } = Operation;
      if (operation !== getsockopt && operation !== setsockopt) return [];
      const view = new DataView(bytes.buffer);
      return [[operation, view.getInt32(0, true), view.getInt32(4, true)]];
    });
    assert.deepEqual(options, [
      [Operation.getsockopt, level, 64],
      [Operation.getsockopt, level, 65],
      [Operation.setsockopt, level, 64],
      [Operation.setsockopt, level, 65],
    ]);
  }
});

test('a table is read and replaced with its counters under the lock', async () => {
  const { calls, submitted, receipt } = await rewriting(() => undefined);
  assert.deepEqual(receipt, []);
  assert.deepEqual(calls, ['flock', 'GET_INFO', 'GET_ENTRIES', 'sets', 'REPLACE', 'ADD_COUNTERS']);
  const [, getInfo, getEntries, , replace, addCounters] = submitted.map(({ bytes }) => bytes.slice(8));
  const name = [...new TextEncoder().encode('raw'), 0];
  assert.deepEqual([...(getInfo ?? [])], [...name, ...new Array(infoBytes - 4).fill(0)]);
  assert.deepEqual([...(getEntries ?? [])], [...name, ...new Array(28).fill(0), 8, ...new Array(15).fill(0)]);
  const pointer = [replaceBytes, 0, 0, 0, 0, 0, 0, 0];
  const after = replaceBytes - 96 + entries * 16;
  assert.deepEqual([...(replace ?? [])], [...replaced, ...pointer, ...new Array(after).fill(0)]);
  assert.equal(submitted.at(-2)?.split, 88);
  assert.deepEqual(
    [...(addCounters?.subarray(0, 40) ?? [])],
    [...replaced.slice(0, 32), 3, 0, 0, 0, 0, 0, 0, 0],
  );
  const counters = addCounters?.subarray(40) ?? new Uint8Array();
  const old = Array.from({ length: entries * 16 }, (_, index) => index + 1);
  assert.deepEqual([...counters], [...new Array(16).fill(0), ...old.slice(16), ...old.slice(0, 16)]);
});

for (const [call, errno, words] of [
  ['GET_INFO', 92, /^table raw$/],
  ['GET_INFO', 2, /^No such file or directory \(table raw\)$/],
  ['GET_ENTRIES', 1, /^Operation not permitted \(table raw\)$/],
  ['REPLACE', 2, /^No such file or directory \(table raw\)$/],
  ['REPLACE', 1, /^Operation not permitted \(table raw\)$/],
  ['REPLACE', 22, /^Invalid argument \(table raw\)$/],
  ['REPLACE', 40, /^table raw$/],
  ['flock', 38, /^cannot take the lock \S+$/],
] as const) {
  test(`errno ${errno} of ${call} is in the receipt, and no call follows it`, async () => {
    const { calls, receipt } = await rewriting((at) => (at === call ? -errno : undefined));
    const [refused, ...more] = receipt;
    assert.deepEqual([refused?.object, refused?.errno, more], [object, errno, []]);
    assert.match(refused?.words ?? '', words);
    assert.equal(calls.at(-1), call);
    assert.equal(calls.filter((one) => one === call).length, 1);
  });
}

test('a table that changed without the lock is read again, and in the end given up', async () => {
  const once = await rewriting((call, times) => (call === 'REPLACE' && times === 1 ? -11 : undefined));
  assert.deepEqual(once.receipt, []);
  assert.equal(once.calls.filter((call) => call === 'GET_INFO').length, 2);
  const always = await rewriting((call) => (call === 'REPLACE' ? -11 : undefined));
  assert.deepEqual(
    always.receipt.map(({ errno }) => errno),
    [11],
  );
  assert.equal(always.calls.filter((call) => call === 'REPLACE').length, 4);
});

test('a family that the kernel lacks answers every question with its errno', async () => {
  const native = recordedNative(undefined, { 'socket 10 ': -97 });
  const { tables } = new Kernel(native);
  assert.deepEqual(await tables.option(4, 64, new Uint8Array(infoBytes)), new Uint8Array());
  for (let times = 0; times < 2; times++)
    assert.equal(await tables.option(6, 64, new Uint8Array(infoBytes)), -97);
  assert.equal(native.submitted.length, 1);
  assert.throws(() => tables.open(), { code: 'SystemCall', errno: 97 });
});

test('a rewrite tries a held lock again, also after a signal', async () => {
  const { calls, receipt } = await rewriting((call, times) =>
    call === 'flock' && times < 4 ? (times === 1 ? -4 : -11) : undefined,
  );
  assert.deepEqual(receipt, []);
  assert.equal(calls.filter((call) => call === 'flock').length, 4);
});

test('a lock that another process holds is given up after ten seconds', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let isOver = false;
  const rewritten = rewriting((call) => (call === 'flock' ? -11 : undefined)).finally(() => {
    isOver = true;
  });
  for (let tries = 0; !isOver && tries < 1000; tries++) {
    await new Promise((resolve) => setImmediate(resolve));
    t.mock.timers.tick(20);
  }
  const { calls, receipt } = await rewritten;
  assert.deepEqual([calls.length, new Set(calls)], [501, new Set(['flock'])]);
  assert.match(receipt[0]?.words ?? '', /^cannot take the lock \S+$/);
});

test('no table is written after a refused step, and the last steps follow the tables', async () => {
  const records = [{ sequence: 1, objects: [object], first: 0, stride: 0 }];
  const one = (byte: number) => ({ bytes: Uint8Array.of(byte), split: 1, barrier: 0, records });
  const door = 'nfnetlink';
  const sent = async (answer: Uint8Array) => {
    const native = recordedNative(() => answer);
    const receipt = await new Kernel(native).commit({ door, steps: [one(1)], tables: [], after: [one(2)] });
    return [receipt.length, ...native.submitted.map(({ bytes }) => bytes[0])];
  };
  assert.deepEqual(await sent(generation), [0, 1, 2]);
  assert.deepEqual(await sent(setFull), [1, 1]);
});

test('every table of a transaction is written before its last steps', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-lock-'));
  const native = recordedNative((one) => (one.bytes.length === 1 ? generation : answerTo(nameOf(one), one)));
  const kernel = new Kernel(native, { lockFile: join(folder.path, 'lock') });
  const last = { bytes: Uint8Array.of(1), split: 1, barrier: 0, records: [] };
  const tables = [step, { ...step, family: 6 as const }];
  assert.deepEqual(await kernel.commit({ door: 'nfnetlink', steps: [last], tables, after: [last] }), []);
  const written = ['flock', 'GET_INFO', 'GET_ENTRIES', 'sets', 'REPLACE', 'ADD_COUNTERS'];
  const called = native.submitted.map((one) => (one.bytes.length === 1 ? 'step' : nameOf(one)));
  assert.deepEqual(called, ['step', ...written, ...written, 'step']);
  assert.equal(native.calls.filter((call) => call.startsWith('socket 16')).length, 1);
  kernel[Symbol.dispose]();
});
