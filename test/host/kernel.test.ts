// The order and the results of commits and dumps, over a Native that answers what the test says.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KernelObject, Transaction } from '../../src/dialects/dialect.ts';
import { Kernel } from '../../src/host/kernel.ts';
import { Operation } from '../../src/host/native.ts';
import { SystemCallError } from '../../src/host/socket.ts';
import { concat, message } from '../fake-kernel/bytes.ts';
import { generation, setFull } from '../netlink/captured.ts';
import { recordedNative } from './recorded-native.ts';

const thing: KernelObject = { id: 'thing', content: '', owner: null, service: null, foreign: false };
const dumpRequest = { door: 'nfnetlink', bytes: Uint8Array.of(1, 2, 3, 4) } as const;

/** `count` steps of one byte each, told apart by it; the answer of a good one is the captured generation. */
function steps(count: number): Transaction {
  const records = [{ sequence: 1, objects: [thing], first: 0, stride: 0 }];
  const one = (_: unknown, index: number) => ({
    bytes: Uint8Array.of(index, 99),
    split: 1,
    barrier: 0,
    records,
  });
  return { door: 'nfnetlink', steps: Array.from({ length: count }, one) };
}

test('commit sends steps in order with their splits, and returns no promise for an answer in time', () => {
  const native = recordedNative(() => generation);
  const { door, steps: all } = steps(3);
  const halved = all.map((step, index) => ({ ...step, halved: index === 2 }));
  const kernel = new Kernel(native);
  kernel.prepare();
  assert.equal(native.calls.at(-1), 'prepare');
  assert.deepEqual(kernel.commit({ door, steps: halved }), []);
  assert.deepEqual(
    native.submitted.map(({ operation, bytes, split, waitMicros }) => [
      operation,
      bytes[0],
      split,
      waitMicros,
    ]),
    [
      [Operation.exchange, 0, 1, 1000],
      [Operation.exchange, 1, 1, 1000],
      [Operation.exchange, 2, -1, 1000],
    ],
  );
});

test('commit sends nothing after a refused step', async () => {
  for (const late of [false, true]) {
    const native = recordedNative((_, index) => (late ? undefined : index === 1 ? setFull : generation));
    const pending = new Kernel(native).commit(steps(3));
    if (late) {
      native.late(native.submitted[0]?.token ?? 0, generation);
      await Promise.resolve();
      await new Promise(setImmediate);
      native.late(native.submitted[1]?.token ?? 0, setFull);
    }
    const receipt = await pending;
    assert.deepEqual(
      receipt.map(({ object, errno }) => [object?.id, errno]),
      [['thing', 23]],
    );
    assert.equal(native.submitted.length, 2);
  }
});

test('a commit that draws no reply is not taken for done, in time or late', async () => {
  for (const late of [false, true]) {
    const native = recordedNative(() => (late ? undefined : new Uint8Array()));
    const pending = new Kernel(native).commit(steps(2));
    if (late) native.late(native.submitted[0]?.token ?? 0, new Uint8Array());
    const receipt = await pending;
    assert.deepEqual(
      receipt.map(({ object, words }) => [object, words]),
      [[null, 'the kernel did not answer the whole transaction']],
    );
    assert.equal(native.submitted.length, 1);
  }
});

test('a slow commit is a promise, and sends the rest of its steps after the answer', async () => {
  for (const slow of [0, 1, 2]) {
    const native = recordedNative((_, index) => (index === slow ? undefined : generation));
    const pending = new Kernel(native).commit(steps(3));
    assert.ok(pending instanceof Promise);
    assert.equal(native.submitted.length, slow + 1);
    native.late(native.submitted[slow]?.token ?? 0, generation);
    assert.deepEqual(await pending, []);
    assert.deepEqual(
      native.submitted.map(({ bytes, fd }) => [bytes[0], fd]),
      [0, 1, 2].map((step) => [step, 100]),
    );
  }
});

test('each of several slow commits gets its own answer', async () => {
  const native = recordedNative(() => undefined);
  const kernel = new Kernel(native);
  const pending = [kernel.commit(steps(1)), kernel.commit(steps(1))];
  const [first, second] = native.submitted.map(({ token }) => token);
  native.late(second ?? 0, setFull);
  native.late(first ?? 0, generation);
  const receipts = await Promise.all(pending);
  assert.deepEqual(
    receipts.map(({ length }) => length),
    [0, 1],
  );
});

test('a result with an unknown token changes nothing', async () => {
  const native = recordedNative(() => undefined);
  const pending = new Kernel(native).commit(steps(1));
  native.late(12_345, setFull);
  native.late(native.submitted[0]?.token ?? 0, generation);
  native.late(native.submitted[0]?.token ?? 0, setFull);
  assert.deepEqual(await pending, []);
});

test('a commit throws if its system call fails, in time or late', async () => {
  const failed = (error: unknown): boolean => error instanceof SystemCallError && error.errno === 105;
  assert.throws(() => new Kernel(recordedNative(() => -105)).commit(steps(1)), failed);
  const native = recordedNative(() => undefined);
  const pending = new Kernel(native).commit(steps(1));
  native.late(native.submitted[0]?.token ?? 0, -105);
  await assert.rejects(Promise.resolve(pending), failed);
});

test('a transaction without steps sends nothing', () => {
  const native = recordedNative();
  assert.deepEqual(new Kernel(native).commit({ door: 'nfnetlink', steps: [] }), []);
  assert.deepEqual(native.submitted, []);
});

test('each door opens one socket at its first use, and the writer thread closes it', async () => {
  const native = recordedNative(() => generation);
  const kernel = new Kernel(native);
  for (const door of ['nfnetlink', 'nfnetlink', 'rtnetlink'] as const)
    await kernel.commit({ ...steps(1), door });
  assert.deepEqual(
    native.calls.filter((call) => call.startsWith('socket')),
    ['socket 16 3 12', 'socket 16 3 0'],
  );
  assert.equal(kernel.portId('nfnetlink'), 42);
  kernel[Symbol.dispose]();
  kernel[Symbol.dispose]();
  assert.deepEqual(
    native.calls.filter((call) => call.includes('close')),
    ['submit close 100', 'submit close 101'],
  );
});

/** A message of netlink's own, NLMSG_ERROR or NLMSG_DONE, with what it begins with. */
function control(type: 2 | 3, flags: number, value: number): Uint8Array {
  const bytes = new Uint8Array(36);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setInt32(16, value, true);
  return bytes;
}

const done = control(3, 2, 0);
const interrupted = concat([message({ type: 0xa06, flags: 0x12, sequence: 1 }), done]);

test('an inconsistent dump is requested again, and is an error after four times', async () => {
  const unfinished = message({ type: 0xa06, flags: 2, sequence: 1 });
  const late = control(3, 0x12, 0);
  for (const torn of [interrupted, unfinished, late, new Uint8Array()]) {
    const native = recordedNative((_, index) => (index < 3 ? torn : done));
    assert.deepEqual(await new Kernel(native).dump([dumpRequest]), [done]);
    assert.equal(native.submitted.length, 4);
    const never = recordedNative(() => torn);
    await assert.rejects(new Kernel(never).dump([dumpRequest, dumpRequest]), (error) => {
      assert.ok(error instanceof SystemCallError);
      assert.match(error.message, /^nfnetlink dump: EINTR: .*changed it 4 times/);
      return true;
    });
    assert.equal(never.submitted.length, 4);
  }
});

test('a dump refused by EPERM is an error, and one answered by ENOENT is not', async () => {
  for (const type of [2, 3] as const) {
    const native = recordedNative(() => control(type, type === 2 ? 0x110 : 2, -1));
    await assert.rejects(new Kernel(native).dump([dumpRequest]), /nfnetlink dump: EPERM/);
    assert.equal(native.submitted.length, 1);
    const absent = control(type, type === 2 ? 0x110 : 2, -2);
    const empty = recordedNative(() => absent);
    assert.deepEqual(await new Kernel(empty).dump([dumpRequest]), [absent]);
    assert.equal(empty.submitted.length, 1);
  }
});

test('a dump of elements is requested again if the generation changed within it', async () => {
  const elements = (resource: number) => message({ type: 0xa0c, flags: 2, sequence: 1, resource });
  const ofAnother = message({ type: 0x60c, flags: 2, sequence: 1, resource: 7 });
  const whole = concat([elements(8), elements(8), ofAnother, done]);
  for (const earlier of [7, 0x0108]) {
    const torn = concat([elements(earlier), elements(8), done]);
    const native = recordedNative((_, index) => (index === 0 ? torn : whole));
    const [answer] = await new Kernel(native).dump([dumpRequest]);
    assert.equal(answer, whole);
  }
});

test('the answers of dumps come in the order of their requests', async () => {
  const kernel = new Kernel(recordedNative(({ bytes }) => (bytes[0] === 1 ? done : control(3, 2, 7))));
  const two = [dumpRequest, { ...dumpRequest, bytes: Uint8Array.of(2) }];
  assert.deepEqual(await kernel.dump(two), [done, control(3, 2, 7)]);
});

test('a table that does not exist is empty, and not asked for through netlink', async () => {
  const native = recordedNative(({ operation }) =>
    operation === Operation.exchange ? generation : new Uint8Array(),
  );
  const bytes = Uint8Array.of(4, ...Buffer.from('none'));
  assert.deepEqual(await new Kernel(native).dump([{ door: 'xtables', bytes }]), [new Uint8Array()]);
});
