// The fake kernel beside the real one: the same batches give the same errors at the same places and the same
// state.
import assert from 'node:assert/strict';
import { release } from 'node:os';
import { test } from 'node:test';
import fc from 'fast-check';
import { nftables } from '../../src/dialects/nftables/dialect.ts';
import { loadNative, Operation } from '../../src/host/native.ts';
import { openNetlink } from '../../src/host/socket.ts';
import { anyOptions, anyVips, deltaOf, nothing, stateOf } from '../dialects/arbitraries.ts';
import { concat, message, put, split } from '../fake-kernel/bytes.ts';
import { stateText } from '../fake-kernel/text.ts';
import { fakeKernel } from '../fake-kernel.ts';
import { cannotUnshare, Namespace } from '../namespaces.ts';
import { runs } from '../patience.ts';
import { capabilities } from './own-kernel.ts';

const skip = cannotUnshare();
/** Older kernels do not acknowledge the end of a batch, and ignore a second declaration of a set. */
const [major = 0, minor = 0] = release().split('.').map(Number);
const old = major * 100 + minor < 610 && `the fake is like Linux 6.10 and later, here is ${release()}`;
/** The fake takes both forms of a set's counter. */
const { setExpressionFlag, localAddresses } = capabilities;
const NETLINK_NETFILTER = 12;
const WAIT_MICROS = 10_000_000;

type Exchange = (bytes: Uint8Array, splitAt?: number) => Uint8Array;

test('the fake and the real kernel answer random batches alike and hold the same state after them', {
  skip: skip || old,
}, () => {
  fc.assert(
    fc.property(fc.array(anyBatch(), { minLength: 1, maxLength: 12 }), (batches) => {
      const real = realKernel();
      const fake = fakeKernel();
      for (const batch of [furniture, ...batches]) {
        const bytes = batchOf(batch);
        const splitAt = bytes.length - 20;
        assert.deepEqual(answers(fake.exchange(bytes, splitAt)), answers(real(bytes, splitAt)));
        assert.equal(fake.text(), stateText(real));
      }
    }),
    runs(100),
  );
});

test('the fake and the real kernel hold the same state after commits of the dialect', { skip }, () => {
  fc.assert(
    fc.property(anyVips(), anyVips(), anyOptions(), (before, after, options) => {
      const real = realKernel();
      const fake = fakeKernel();
      const dialect = nftables({ ...options, tableFlags: 0, setExpressionFlag, localAddresses });
      let have: ReturnType<typeof dialect.render> = nothing;
      for (const vips of [before, after]) {
        const want = dialect.render(stateOf(vips));
        for (const step of dialect.encode(deltaOf(have, want)).steps) {
          const expected = answers(real(step.bytes, step.split));
          assert.deepEqual(answers(fake.exchange(step.bytes, step.split)), expected);
        }
        assert.equal(fake.text(), stateText(real));
        have = want;
      }
    }),
    runs(25),
  );
});

test('a batch without its end message changes neither the fake nor the real kernel', { skip }, () => {
  const bytes = concat([
    message({ type: 0x10, flags: 1, sequence: 1, family: 0, resource: 10 }),
    message({ type: 0xa00, flags: 0x401, sequence: 2 }, [put(1, 'a')]),
    message({ type: 0xa10, flags: 1, sequence: 3, family: 0 }),
  ]);
  for (const exchange of [realKernel(), fakeKernel().exchange]) {
    assert.deepEqual(answers(exchange(bytes, bytes.length - 20)), [[3, 'generation']]);
    assert.equal(stateText(exchange), '\n');
  }
});

/** nfnetlink in a namespace of its own, which goes when its socket is closed. */
const namespaces: Namespace[] = [];
function realKernel(): Exchange {
  const native = loadNative();
  for (const old of namespaces.splice(0)) old[Symbol.dispose]();
  const namespace = Namespace.make({ loopback: 'down' });
  namespaces.push(namespace);
  const { fd } = namespace.run(() => openNetlink(native, NETLINK_NETFILTER));
  return (bytes, splitAt = bytes.length) => {
    const outcome = native.submit(Operation.exchange, fd, bytes, splitAt, 0, WAIT_MICROS);
    assert.ok(outcome instanceof Uint8Array, `exchange: ${outcome}`);
    return outcome;
  };
}

/** Sequence, errno and offset of each error and acknowledgement, and the reply of the barrier. */
function answers(bytes: Uint8Array): unknown[] {
  return split(bytes).map(({ type, sequence, flags, bytes: one }) => {
    if (type !== 2) return [sequence, 'generation'];
    const view = new DataView(one.buffer, one.byteOffset, one.byteLength);
    const offset = (flags & 0x200) !== 0 && one.length >= 44 ? view.getUint32(40, true) : -1;
    return [sequence, view.getInt32(16, true), offset];
  });
}

type Change = (sequence: number) => Uint8Array;

function batchOf(changes: readonly Change[]): Uint8Array {
  const end = changes.length + 2;
  return concat([
    message({ type: 0x10, flags: 1, sequence: 1, family: 0, resource: 10 }),
    ...changes.map((change, index) => change(index + 2)),
    message({ type: 0x11, flags: 5, sequence: end, family: 0, resource: 10 }),
    message({ type: 0xa10, flags: 1, sequence: end + 1, family: 0 }),
  ]);
}

/**
 * A table with two sets and two chains to begin with; without them most batches would end at an unknown
 * name.
 */
const furniture: readonly Change[] = [
  change(0, 0x400, put(1, 'a')),
  ...['s1', 's2'].map((name) => change(9, 0x400, ...setParts('a', name, 4))),
  ...['c1', 'c2'].map((name) => change(3, 0x400, ...chainParts('a', name, null))),
];

function change(type: number, flags: number, ...parts: readonly Uint8Array[]): Change {
  return (sequence) => message({ type: 0xa00 + type, flags: 1 | flags, sequence }, parts);
}

/** Few names, small sets and few keys, so that things collide. */
function anyBatch(): fc.Arbitrary<Change[]> {
  const table = fc.constantFrom('a', 'a', 'a', 'b');
  const set = fc.constantFrom('s1', 's2', 's3');
  const chain = fc.constantFrom('c1', 'c2', 'c3');
  const keys = fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 6 });
  const create = fc.constantFrom(0x400, 0x400, 0x600);
  const newSet = fc
    .tuple(table, set, fc.integer({ min: 1, max: 5 }), create)
    .map(([of, name, size, flags]) => change(9, flags, ...setParts(of, name, size)));
  const newChain = fc
    .tuple(table, chain, fc.constantFrom(null, -310, -190), create)
    .map(([of, name, priority, flags]) => change(3, flags, ...chainParts(of, name, priority)));
  return fc.array(
    fc.oneof(
      {
        weight: 2,
        arbitrary: fc.tuple(table, create).map(([name, flags]) => change(0, flags, put(1, name))),
      },
      { weight: 1, arbitrary: table.map((name) => change(2, 0, put(1, name))) },
      { weight: 4, arbitrary: newSet },
      {
        weight: 2,
        arbitrary: fc.tuple(table, set).map(([of, name]) => change(11, 0, put(1, of), put(2, name))),
      },
      { weight: 4, arbitrary: newChain },
      {
        weight: 2,
        arbitrary: fc
          .tuple(table, chain, fc.constantFrom(0, 0x100))
          .map(([of, name, flags]) => change(5, flags, put(1, of), put(3, name))),
      },
      {
        weight: 4,
        arbitrary: fc
          .tuple(table, chain, set, fc.option(chain), fc.constantFrom(0x400, 0xc00))
          .map(([of, name, into, target, flags]) => change(6, flags, ...ruleParts(of, name, into, target))),
      },
      {
        weight: 2,
        arbitrary: fc.tuple(table, chain).map(([of, name]) => change(8, 0, put(1, of), put(2, name))),
      },
      {
        weight: 8,
        arbitrary: fc
          .tuple(fc.constantFrom(12, 12, 12, 14), table, set, keys)
          .map(([type, of, name, list]) => change(type, 0x400, ...elementParts(of, name, list))),
      },
    ),
    { minLength: 1, maxLength: 4 },
  );
}

function setParts(table: string, name: string, size: number): Uint8Array[] {
  return [put(1, table), put(2, name), put(3, 0), put(4, 7), put(5, 4), put(10, 1), put(9, [put(1, size)])];
}

function chainParts(table: string, name: string, priority: number | null): Uint8Array[] {
  const hook = [put(4, [put(1, 0), put(2, priority ?? 0)]), put(5, 1), put(7, 'filter')];
  return [put(1, table), put(3, name), ...(priority === null ? [] : hook)];
}

/**
 * ip daddr @set, and a goto to a later chain only, since the kernel refuses loops and the fake does not
 * look.
 */
function ruleParts(table: string, chain: string, set: string, target: string | null): Uint8Array[] {
  const expression = (name: string, ...data: Uint8Array[]) => put(1, [put(1, name), put(2, data)]);
  const payload = expression('payload', put(1, 1), put(2, 1), put(3, 16), put(4, 4));
  const lookup = expression('lookup', put(1, set), put(2, 1), put(5, 0));
  const jump = target !== null && target > chain ? [put(1, -4), put(2, target)] : [put(1, 1)];
  const verdict = expression('immediate', put(1, 0), put(2, [put(2, jump)]));
  return [put(1, table), put(2, chain), put(4, [payload, lookup, verdict])];
}

function elementParts(table: string, set: string, keys: readonly number[]): Uint8Array[] {
  const items = keys.map((last) => put(1, [put(1, [put(1, Uint8Array.of(10, 0, 0, last))])]));
  return [put(1, table), put(2, set), put(3, items)];
}
