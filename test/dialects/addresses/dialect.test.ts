// Addresses to rtnetlink and from it: against the bytes of ip, and back again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isTentative, readAddress } from '../../../src/dialects/addresses/decode.ts';
import { addresses } from '../../../src/dialects/addresses/dialect.ts';
import { receiptOf } from '../../../src/netlink/ack.ts';
import { messagesOf, NetlinkError } from '../../../src/netlink/reader.ts';
import { type Address, formatAddress, parseAddress } from '../../../src/state/address.ts';
import type { HeldAddress } from '../../../src/state/desired-state.ts';
import { type FakeMessage, split } from '../../fake-kernel/bytes.ts';
import { addressDump, hex, ipAddAddress4, ipAddAddress6 } from '../../netlink/captured.ts';
import { deltaOf, nothing } from '../arbitraries.ts';

const held = (address: string, interfaceIndex = 1): HeldAddress => ({
  address: parseAddress(address),
  interfaceIndex,
});

function render(...list: readonly HeldAddress[]) {
  return addresses.render({ held: list });
}

function messages(...list: readonly HeldAddress[]): FakeMessage[] {
  return addresses.encode(deltaOf(nothing, render(...list))).steps.flatMap(({ bytes }) => split(bytes));
}

/** An rtnetlink message taken apart: header, struct ifaddrmsg, and the attributes by type, in hex. */
function taken({ type, flags, bytes }: Pick<FakeMessage, 'type' | 'flags' | 'bytes'>) {
  const found: Record<number, string> = {};
  for (let place = 24; place < bytes.length; ) {
    const length = (bytes[place] ?? 0) | ((bytes[place + 1] ?? 0) << 8);
    found[bytes[place + 2] ?? 0] = Buffer.from(bytes.subarray(place + 4, place + length)).toString('hex');
    place += (length + 3) & ~3;
  }
  return { type, flags, header: Buffer.from(bytes.subarray(16, 24)).toString('hex'), attributes: found };
}

test('an added address has the bytes of ip, with our protocol, and NODAD for both families', () => {
  for (const [address, theirs] of [
    ['10.50.0.1', ipAddAddress4],
    ['fd00::1', ipAddAddress6],
  ] as const) {
    const [ours] = messages(held(address)).map(taken);
    const [expected] = split(theirs).map(taken);
    assert.ok(expected);
    assert.deepEqual(ours, { ...expected, attributes: { ...expected.attributes, 8: '02020000', 11: '76' } });
  }
});

test('a deletion names the address and its interface, and no lifetime', () => {
  const [step] = addresses.encode(deltaOf(render(held('10.50.0.1', 7)), nothing)).steps;
  const [message] = split(step?.bytes ?? new Uint8Array()).map(taken);
  assert.deepEqual(message, {
    type: 21,
    flags: 5,
    header: '022000fe07000000',
    attributes: { 1: '0a320001', 2: '0a320001' },
  });
});

test('only the last message asks for an acknowledgement, which is the barrier', () => {
  const transaction = addresses.encode(
    deltaOf(render(held('10.50.0.9')), render(held('10.50.0.1'), held('fd00::1'))),
  );
  const [step, ...more] = transaction.steps;
  assert.ok(step);
  assert.deepEqual([transaction.door, more.length, step.split], ['rtnetlink', 0, step.bytes.length]);
  assert.deepEqual(
    split(step.bytes).map(({ type, flags, sequence }) => [type, flags & 4, sequence]),
    [
      [21, 0, 1],
      [20, 0, 2],
      [20, 4, 3],
    ],
  );
  assert.equal(step.barrier, 3);
});

test('an empty delta has no step', () => {
  assert.deepEqual(addresses.encode({ remove: [], add: [] }), { door: 'rtnetlink', steps: [] });
});

test('the request for addresses is a dump', () => {
  const bytes = hex('18000000 16000103 01000000 00000000 00000000 00000000');
  assert.deepEqual(addresses.dumps, [{ door: 'rtnetlink', bytes }]);
});

test('the receipt names an address that exists already, and no other', () => {
  const [step] = addresses.encode(deltaOf(nothing, render(held('10.50.0.1'), held('10.50.0.2')))).steps;
  assert.ok(step);
  const exists = hex('24000000 02000001 01000000 00000000 efffffff 4c000000 14000506 01000000 00000000');
  const done = hex('24000000 02000001 02000000 00000000 00000000 4c000000 14000506 02000000 00000000');
  const receipt = receiptOf(step, Uint8Array.of(...exists, ...done));
  assert.deepEqual(
    receipt.map(({ object, errno }) => [object?.address, errno]),
    [['10.50.0.1', 17]],
  );
});

test('decode tells our address by its priority, and 127.0.0.1 as foreign', () => {
  const found = addresses.decode([addressDump]).elements;
  assert.deepEqual(
    found.map(({ address, prefixLength, interfaceIndex, scope, foreign }) => ({
      address,
      prefixLength,
      interfaceIndex,
      scope,
      foreign,
    })),
    [
      { address: '127.0.0.1', prefixLength: 8, interfaceIndex: 1, scope: 254, foreign: true },
      { address: '10.50.0.1', prefixLength: 32, interfaceIndex: 1, scope: 254, foreign: false },
    ],
  );
  assert.deepEqual(deltaOf({ ...nothing, elements: found }, render(held('10.50.0.1'))), {
    remove: [],
    add: [],
  });
  const { remove } = deltaOf({ ...nothing, elements: found }, nothing);
  assert.deepEqual(
    remove.map(({ id }) => id),
    ['10.50.0.1/32 on 1'],
  );
});

test('any addresses are read back as they were added', () => {
  fc.assert(
    fc.property(anyHeld(), (list) => {
      const want = render(...list);
      const replies = addresses.encode(deltaOf(nothing, want)).steps.map(({ bytes }) => bytes);
      assert.deepEqual(addresses.decode(replies), want);
    }),
  );
});

test('an address without our marks is foreign, and one of ours with another scope is replaced', () => {
  const [message] = messages(held('10.50.0.1'));
  assert.ok(message);
  const bytes = message.bytes.slice();
  bytes[19] = 0;
  const { remove, add } = deltaOf(addresses.decode([bytes]), render(held('10.50.0.1')));
  assert.deepEqual([remove.length, add.length], [1, 1]);
  // Without IFA_PROTO the priority alone is our mark, and the other way round.
  assert.equal(read(without(message.bytes, 11))?.foreign, false);
  assert.equal(read(without(message.bytes, 9))?.foreign, false);
  assert.equal(read(without(without(message.bytes, 9), 11))?.foreign, true);
  const head = '28000000 14000000 00000000 00000000 02200000 01000000 08000200 0a320001 08000900';
  const foreign = ['77706976', '00040000'].map((priority) => read(hex(`${head} ${priority}`))?.foreign);
  assert.deepEqual(foreign, [false, true]);
});

test('the event of a deleted address names it, and an address that IPv4 is mapped to gives none', () => {
  const of6 = (type: string, bytes: string) =>
    read(hex(`2c000000 ${type} 00000000 00000000 0a800000 01000000 14000100 00000000 00000000 ${bytes}`));
  assert.equal(of6('15000000', '0001ffff 0a320001')?.address, '::1:ffff:a32:1');
  assert.equal(of6('14000000', '0000ffff 0a320001'), undefined);
});

test('other messages and malformed addresses give no address', () => {
  const other = hex('24000000 02000001 01000000 00000000 00000000 4c000000 14000506 01000000 00000000');
  assert.equal(read(other), undefined);
  assert.equal(read(hex('18000000 14000000 00000000 00000000 02200000 01000000')), undefined);
  assert.equal(read(hex('14000000 14000000 00000000 00000000 02200000')), undefined);
  const odd = hex('20000000 14000000 00000000 00000000 02200000 01000000 06000200 0a320000');
  assert.equal(read(odd), undefined);
});

test('isTentative reads the flags of an address', () => {
  const of = (flags: string) =>
    hex(`20000000 14000000 00000000 00000000 0a800000 01000000 08000800 ${flags}`);
  const [tentative, usable] = [of('40000000'), of('80020000')].map(
    (bytes) => [...messagesOf(bytes)].map(isTentative)[0],
  );
  assert.deepEqual([tentative, usable], [true, false]);
});

test('readAddress tells by its flags that an address failed duplicate address detection', () => {
  const head = '34000000 14000000 00000000 00000000 0a800000 01000000 14000100';
  const of = (flags: string) => hex(`${head} fd770000 00000000 00000000 00000100 08000800 ${flags}`);
  assert.deepEqual([read(of('c8000000'))?.isDuplicate, read(of('c0000000'))?.isDuplicate], [true, false]);
});

test('readAddress tells by its preferred lifetime that IPv6 may choose an address as a source', () => {
  const head = '40000000 14000000 00000000 00000000 0a800000 01000000 14000100';
  const of = (lifetime: string) =>
    hex(`${head} fd770000 00000000 00000000 00000100 14000600 ${lifetime} ffffffff 00000000 00000000`);
  const preferred = ['00000000', '05000000', 'ffffffff'].map((lifetime) => read(of(lifetime))?.isPreferred);
  assert.deepEqual(preferred, [false, true, true]);
  assert.deepEqual(
    addresses.decode([addressDump]).elements.map(({ isPreferred }) => isPreferred),
    [false, false],
  );
});

test('a corrupted dump gives addresses or a NetlinkError', () => {
  const change = fc.tuple(fc.nat(addressDump.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 4 }), fc.nat(addressDump.length), (changes, length) => {
      const bytes = addressDump.slice(0, length);
      for (const [place, value] of changes) if (place < length) bytes[place] = value;
      try {
        addresses.decode([bytes]);
      } catch (error) {
        assert.ok(error instanceof NetlinkError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

function read(bytes: Uint8Array) {
  return [...messagesOf(bytes)].map(readAddress)[0];
}

/** The message with the type of an attribute changed to an unknown one. */
function without(bytes: Uint8Array, type: number): Uint8Array {
  const copy = bytes.slice();
  for (let place = 24; place < copy.length; place += ((copy[place] ?? 0) + 3) & ~3) {
    if (copy[place + 2] === type) copy[place + 2] = 200;
  }
  return copy;
}

function anyHeld(): fc.Arbitrary<HeldAddress[]> {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const address: fc.Arbitrary<Address> = fc.oneof(bytes(4), bytes(16)).map(formatAddress);
  const one = fc.record({ address, interfaceIndex: fc.integer({ min: 1, max: 0x7fffffff }) });
  return fc.uniqueArray(one, {
    selector: ({ address: text, interfaceIndex }) => `${text} ${interfaceIndex}`,
  });
}
