// Changes of the kernel by other programs, received over a Native of the test and over the real one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nftables } from '../../src/dialects/nftables/dialect.ts';
import { type Listener, listen } from '../../src/host/events.ts';
import { loadNative } from '../../src/host/native.ts';
import { attributesOf, type Message } from '../../src/netlink/reader.ts';
import { nothing, stateOf } from '../dialects/arbitraries.ts';
import { commit, hasTool, nft, ownKernel, plain } from '../kernel/own-kernel.ts';
import { cannotUnshare, runIn } from '../namespaces.ts';
import { elementDump } from '../netlink/captured.ts';
import { untilTrue } from '../patience.ts';
import { recordedNative } from './recorded-native.ts';

interface Heard extends Listener {
  readonly messages: Message[];
  losses: number;
}

function ear(): Heard {
  return {
    messages: [],
    losses: 0,
    onMessage(message) {
      this.messages.push(message);
    },
    onLoss() {
      this.losses++;
    },
  };
}

test('the listener gets each message of a datagram, and each loss', () => {
  const native = recordedNative();
  const heard = ear();
  using _listening = listen(native, 'nftables', heard);
  native.deliver(100, elementDump);
  native.deliver(100, -105);
  assert.deepEqual(
    heard.messages.map(({ type }) => type),
    [0xa0c, 0xa0c, 3],
  );
  assert.equal(heard.losses, 1);
});

test('a datagram that cannot be read is a loss', () => {
  const native = recordedNative();
  const heard = ear();
  using _listening = listen(native, 'network', heard);
  native.deliver(100, Uint8Array.of(1, 2, 3));
  assert.equal(heard.losses, 1);
  heard.onMessage = ({ payload }) => void attributesOf(payload, 0);
  const attribute = [200, 0, 3, 0];
  native.deliver(100, Uint8Array.of(20, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...attribute));
  assert.equal(heard.losses, 2);
  heard.onMessage = () => assert.fail('a bug of the listener');
  assert.throws(() => native.deliver(100, elementDump), /a bug of the listener/);
});

test('listen joins the groups of links and addresses, or that of nftables', () => {
  const joined = (subject: 'network' | 'nftables'): string[] => {
    const native = recordedNative();
    using _listening = listen(native, subject, ear());
    return native.calls.filter((call) => call.startsWith('setsockopt 100 270 1 '));
  };
  assert.deepEqual(
    joined('network'),
    [1, 5, 9].map((group) => `setsockopt 100 270 1 ${group}`),
  );
  assert.deepEqual(joined('nftables'), ['setsockopt 100 270 1 7']);
});

test('listen throws if the watch fails, and closes its socket', () => {
  const native = recordedNative(undefined, { watch: -28 });
  assert.throws(() => listen(native, 'network', ear()), { code: 'SystemCall', errno: 28 });
  assert.deepEqual(native.calls.slice(-2), ['watch 100', 'submit close 100']);
});

test('the end of a listener unwatches its socket first, and the writer thread closes it', () => {
  const native = recordedNative();
  listen(native, 'network', ear())[Symbol.dispose]();
  assert.deepEqual(native.calls.slice(-2), ['unwatch 100', 'submit close 100']);
});

const skip = cannotUnshare() || hasTool('nft', '--version') || hasTool('ip', '-V');

test('the port id tells our own changes from foreign ones', { skip }, async () => {
  using own = ownKernel();
  const heard = ear();
  using _listening = own.namespace.run(() => listen(loadNative(), 'nftables', heard));
  await commit(own, plain, nothing, nftables(plain).render(stateOf([])));
  await untilTrue(() => heard.messages.some(({ type }) => type === 0xa0f));
  const mine = own.kernel.portId('nfnetlink');
  assert.ok(heard.messages.every(({ portId }) => portId === mine));
  const before = heard.messages.length;
  nft(own, ['add', 'element', 'inet', 'vipward', 'vip4', '{ 192.0.2.1 }']);
  await untilTrue(() => heard.messages.slice(before).some(({ type }) => type === 0xa0f));
  assert.ok(heard.messages.slice(before).every(({ portId }) => portId !== mine));
});

test('the listener gets changes of addresses and links', { skip }, async () => {
  using own = ownKernel();
  const heard = ear();
  using _listening = own.namespace.run(() => listen(loadNative(), 'network', heard));
  for (const words of [
    'address add 192.0.2.1/32 dev lo',
    'address add fd00::1/128 dev lo nodad',
    'link set lo down',
  ])
    assert.equal(runIn(own.namespace, ['ip', ...words.split(' ')]).status, 0);
  await untilTrue(() => heard.messages.some(({ type }) => type === 21));
  const types = new Set(heard.messages.map(({ type }) => type));
  assert.ok(
    [16, 20, 21].every((type) => types.has(type)),
    [...types].join(' '),
  );
  assert.equal(heard.losses, 0);
});
