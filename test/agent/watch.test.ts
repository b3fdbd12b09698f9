// What a change by another program makes the agent do, and how often foreign rules are counted: the longer a
// count takes the less often, except for a single count that was held up.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { NetworkChange } from '../../src/agent/addresses/network.ts';
import { Pace } from '../../src/agent/pace.ts';
import { watchForeignRules, watchKernel } from '../../src/agent/watch.ts';
import { addressObject } from '../../src/dialects/addresses/objects.ts';
import type { Address } from '../../src/state/address.ts';
import { message, put } from '../fake-kernel/bytes.ts';
import { recordedNative } from '../host/recorded-native.ts';

const [vip, stranger] = ['10.77.0.100', '10.77.0.9'] as Address[] as [Address, Address];
const [networkFd, nftablesFd, ourPort] = [100, 101, 4242];

interface Situation {
  readonly change: NetworkChange;
  readonly areUnsettled: boolean;
  readonly owned: boolean;
  readonly isPolled: boolean;
}

/** What the agent does for a datagram on a socket; on interface 3 are VIPs. */
function doneFor(fd: number, outcome: Uint8Array | number, given: Partial<Situation> = {}): string[] {
  const native = recordedNative();
  const done: string[] = [];
  const say = (what: string) => (about?: unknown) => void done.push(`${what} ${JSON.stringify(about) ?? ''}`);
  const places = {
    areUnsettled: given.areUnsettled === true,
    areOn: (index: number) => index === 3,
    isVip: (address: Address) => address === vip,
  };
  const isHeldAt = (object: { address: Address; interfaceIndex: number }) =>
    object.address === vip && object.interfaceIndex === 3;
  const watches = watchKernel({
    native,
    kernel: { portId: () => ourPort } as never,
    firewall: { owned: given.owned === true, glance: given.isPolled === true ? {} : null } as never,
    network: { onMessage: () => given.change } as never,
    holder: { places, isHeldAt, announce: say('announce'), arrivals: { usable: say('usable') } } as never,
    loop: { doubt: say('doubt') } as never,
    session: { reintroduce: say('hello') } as never,
  });
  native.deliver(fd, outcome);
  for (const watch of watches) watch[Symbol.dispose]();
  return done.map((words) => words.replaceAll(/["]|\s$/g, ''));
}

const any = message({ type: 20, sequence: 0 });
const onNetwork = (change: object, areUnsettled = false): string[] =>
  doneFor(networkFd, any, { change: change as NetworkChange, areUnsettled });
const at = (address: Address, interfaceIndex: number, foreign: boolean) =>
  addressObject({ address, prefixLength: 32, interfaceIndex, scope: 254 }, foreign);

test('a link that comes or goes is a doubt if a VIP is on it or has no place, and a reason for hello', () => {
  for (const [kind, first] of [
    ['carrier', (index: number) => [`announce ${index}`, 'hello']],
    ['down', () => ['hello']],
  ] as const)
    for (const [index, areUnsettled, isDoubt] of [
      [3, false, true],
      [4, false, false],
      [4, true, true],
    ] as const) {
      const expected = [...first(index), ...(isDoubt ? ['doubt link'] : [])];
      assert.deepEqual(onNetwork({ kind, link: { index } }, areUnsettled), expected);
    }
});

test('an address that goes is a doubt if a VIP was held by it, or if it kept a VIP from its place', () => {
  const gone = (address: Address, index: number, foreign: boolean, areUnsettled = false) =>
    onNetwork({ kind: 'address gone', object: at(address, index, foreign) }, areUnsettled);
  assert.deepEqual(gone(vip, 3, false), ['doubt address']);
  assert.deepEqual(gone(vip, 3, true), ['doubt address']);
  assert.deepEqual(gone(vip, 4, false), []);
  assert.deepEqual(gone(vip, 4, false, true), []);
  assert.deepEqual(gone(vip, 4, true), ['doubt network']);
  assert.deepEqual(gone(stranger, 3, true), []);
  assert.deepEqual(gone(stranger, 3, true, true), ['doubt network']);
});

test('a new address or link makes the agent say hello, and is a doubt where it matters to a VIP', () => {
  const come = (address: Address | null, areUnsettled = false) =>
    onNetwork({ kind: 'new', address }, areUnsettled);
  assert.deepEqual(come(vip), ['hello', 'doubt network']);
  assert.deepEqual(come(stranger), ['hello']);
  assert.deepEqual(come(null), ['hello']);
  assert.deepEqual(come(stranger, true), ['hello', 'doubt network']);
  assert.deepEqual(come(null, true), ['hello', 'doubt network']);
  const object = at(vip, 3, false);
  assert.deepEqual(onNetwork({ kind: 'address preferred', object }), ['doubt address']);
  const said = JSON.stringify(object).replaceAll('"', '');
  assert.deepEqual(onNetwork({ kind: 'address usable', object }), [`usable ${said}`]);
  assert.deepEqual(onNetwork({ kind: 'other' }, true), []);
});

test('a change of our table by another program is a doubt where other programs can change it', () => {
  const event = (type: number, table: string, portId: number): Uint8Array => {
    const bytes = message({ type: 0xa00 + type, sequence: 0 }, [put(1, table)]);
    new DataView(bytes.buffer).setUint32(12, portId, true);
    return bytes;
  };
  const [rule, generation] = [6, 15];
  const theirs = event(rule, 'vipward', ourPort + 1);
  assert.deepEqual(doneFor(nftablesFd, theirs), ['doubt rules']);
  assert.deepEqual(doneFor(nftablesFd, event(rule, 'vipward', ourPort)), []);
  assert.deepEqual(doneFor(nftablesFd, event(rule, 'other', ourPort + 1)), []);
  assert.deepEqual(doneFor(nftablesFd, event(generation, 'vipward', ourPort + 1)), []);
  assert.deepEqual(doneFor(nftablesFd, theirs, { owned: true }), []);
  assert.deepEqual(doneFor(nftablesFd, theirs, { isPolled: true }), []);
});

test('lost events of either kind are a doubt', () => {
  for (const fd of [networkFd, nftablesFd]) assert.deepEqual(doneFor(fd, -105), ['doubt events-lost']);
});

const heldUpMs = 100;

/** Lets up to 200 seconds pass, each after a commit, and returns how many counts there were. */
async function countsOf(t: TestContext, isHeldUp: (count: number) => boolean, most: number): Promise<number> {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let [counts, commits, nowMs] = [0, 0, 0];
  t.mock.method(performance, 'now', () => nowMs);
  const ask = async (): Promise<Uint8Array> => {
    if (isHeldUp(++counts)) nowMs += heldUpMs;
    return new Uint8Array();
  };
  const pace = new Pace(0, () => performance.now());
  using _ = await watchForeignRules({ ask } as never, pace, () => commits);
  for (let second = 0; second < 200 && counts < most; second++) {
    commits++;
    t.mock.timers.tick(1000);
    await turn();
    nowMs += 10;
  }
  return counts;
}

test('a single slow count of foreign rules does not delay the next counts', async (t) => {
  assert.equal(await countsOf(t, (count) => count === 2, 6), 6);
});

test('a slow first count of foreign rules does not delay the next counts', async (t) => {
  assert.equal(await countsOf(t, (count) => count === 1, 6), 6);
});

test('foreign rules are counted less often if every count is slow', async (t) => {
  assert.equal(await countsOf(t, () => true, 6), 2);
});

test('the first count sets the interval, an idle agent counts no more, a failed count is none', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let [counts, commits, nowMs] = [0, 0, 0];
  t.mock.method(performance, 'now', () => nowMs);
  const ask = async (): Promise<Uint8Array> => {
    if (++counts > 1) throw new Error('no answer');
    return new Uint8Array();
  };
  const pace = new Pace(0, () => performance.now());
  using _ = await watchForeignRules({ ask } as never, pace, () => commits);
  assert.equal(pace.intervalMs, 250);
  pace.intervalMs = 300;
  for (const [more, expected] of [
    [0, 1],
    [1, 2],
    [0, 2],
    [1, 3],
  ] as const) {
    commits += more;
    nowMs += 60_000;
    t.mock.timers.tick(2000);
    await turn();
    assert.equal(counts, expected);
  }
  assert.equal(pace.intervalMs, 300);
});
