// Desired state -> objects: each VIP has its own elements, checked against a second computation.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { describe } from '../../../src/dialects/nftables/describe.ts';
import { nftables } from '../../../src/dialects/nftables/dialect.ts';
import type { ElementObject, NftObject } from '../../../src/dialects/nftables/objects.ts';
import {
  addressBytes,
  familyOf,
  formatAddress,
  parseAddress,
  parsePrefix,
  prefixAddress,
  prefixLength,
} from '../../../src/state/address.ts';
import { parsePort } from '../../../src/state/port.ts';
import { parseServiceKey } from '../../../src/state/service.ts';
import type { VipPort, VirtualIp } from '../../../src/state/virtual-ip.ts';
import { anyVip, anyVips, needsOf, plain, stateOf } from '../arbitraries.ts';

const service = parseServiceKey('default/web');

function elementsOf(...vips: readonly VirtualIp[]): string[] {
  return nftables(plain).render(stateOf(vips)).elements.map(describe);
}

function vip(address: string, ports: readonly VipPort[], more: Partial<VirtualIp> = {}): VirtualIp {
  return { address: parseAddress(address), filtered: true, egress: false, ports, ...more };
}

function port(number: number, more: Partial<VipPort> = {}): VipPort {
  return { protocol: 'TCP', port: parsePort(number), service, delivery: 'forward', sources: null, ...more };
}

function sources(...texts: readonly string[]) {
  return { sources: texts.map(parsePrefix) };
}

test('a port of a VIP is an element of allow, and the VIP one of drop and of vip', () => {
  assert.deepEqual(elementsOf(vip('10.50.0.1', [port(80)])), [
    'element allow4 { 10.50.0.1 . tcp . 80 }',
    'element drop4 { 10.50.0.1 }',
    'element vip4 { 10.50.0.1 }',
  ]);
  assert.deepEqual(elementsOf(vip('fd00::1', [port(53, { protocol: 'UDP' })])), [
    'element allow6 { fd00::1 . udp . 53 }',
    'element drop6 { fd00::1 }',
    'element vip6 { fd00::1 }',
  ]);
});

test('a VIP without a port is guarded too', () => {
  assert.deepEqual(elementsOf(vip('10.50.0.1', [])), [
    'element drop4 { 10.50.0.1 }',
    'element vip4 { 10.50.0.1 }',
  ]);
});

test('a VIP that is not filtered has no element', () => {
  assert.deepEqual(elementsOf(vip('10.50.0.1', [port(80)], { filtered: false, egress: true })), []);
});

test('delivery to the host and egress have elements of their own', () => {
  assert.deepEqual(
    elementsOf(vip('10.50.0.1', [port(65535, { delivery: 'host', protocol: 'SCTP' })], { egress: true })),
    [
      'element allow4 { 10.50.0.1 . sctp . 65535 }',
      'element host4 { 10.50.0.1 . sctp . 65535 }',
      'element egress4 { 10.50.0.1 }',
      'element drop4 { 10.50.0.1 }',
      'element vip4 { 10.50.0.1 }',
    ],
  );
});

test('a source range goes into the set of its length, with its host bits masked', () => {
  assert.deepEqual(elementsOf(vip('10.50.0.1', [port(80, sources('192.0.2.77/24', '10.1.2.3/32'))])), [
    'element src4_24 { 10.50.0.1 . tcp . 80 . 192.0.2.0 }',
    'element src4_32 { 10.50.0.1 . tcp . 80 . 10.1.2.3 }',
    'element drop4 { 10.50.0.1 }',
    'element vip4 { 10.50.0.1 }',
  ]);
});

test('ranges that are equal after masking make one element', () => {
  const doubled = sources('10.0.0.0/8', '10.9.9.9/8', '10.0.0.0/8');
  assert.equal(elementsOf(vip('10.50.0.1', [port(80, doubled)])).length, 3);
});

test('a range of length 0 opens the port to all sources of its family', () => {
  assert.deepEqual(elementsOf(vip('10.50.0.1', [port(80, sources('0.0.0.0/0', '10.0.0.0/8'))])).slice(0, 2), [
    'element allow4 { 10.50.0.1 . tcp . 80 }',
    'element src4_8 { 10.50.0.1 . tcp . 80 . 10.0.0.0 }',
  ]);
  assert.deepEqual(
    elementsOf(vip('10.50.0.1', [port(80, sources('::/0'))])),
    elementsOf(vip('10.50.0.1', [])),
  );
});

test('a list that names no range of a family closes the port to that family', () => {
  const only6 = sources('fd00::/8');
  assert.deepEqual(elementsOf(vip('10.50.0.1', [port(80, only6)])), elementsOf(vip('10.50.0.1', [])));
  assert.deepEqual(
    elementsOf(vip('10.50.0.1', [port(80, { sources: [] })])),
    elementsOf(vip('10.50.0.1', [])),
  );
});

test('every VIP has exactly the elements of a second computation, and owns them', () => {
  fc.assert(
    fc.property(anyVips(), (vips) => {
      const objects = nftables(plain).render(stateOf(vips)).elements;
      for (const one of vips) {
        const own = objects.filter(({ owner }) => owner === one.address);
        assert.deepEqual(own.map(describe).sort(), expectedOf(one));
      }
      assert.equal(
        objects.length,
        vips.reduce((sum, one) => sum + expectedOf(one).length, 0),
      );
      assert.equal(new Set(objects.map(({ id }) => id)).size, objects.length);
      for (const { kind, service: key, set } of objects as readonly ElementObject[]) {
        assert.equal(kind, 'element');
        assert.equal(key !== null, /^(allow|src|host)/.test(set));
      }
    }),
  );
});

test('the gate is the last element of each VIP', () => {
  fc.assert(
    fc.property(anyVips(), (vips) => {
      const objects = nftables(plain).render(stateOf(vips)).elements as readonly ElementObject[];
      for (const [index, object] of objects.entries()) {
        const last = objects[index + 1]?.owner !== object.owner;
        assert.equal(/^vip/.test(object.set), last);
      }
    }),
  );
});

test('a VIP renders alone as it does among others', () => {
  fc.assert(
    fc.property(anyVip(), anyVips(), (one, others) => {
      const rest = others.filter(({ address }) => address !== one.address);
      const needs = needsOf([one, ...rest]);
      const dialect = nftables(plain);
      const whole = dialect.render(stateOf([...rest, one], needs)).elements;
      const part = dialect.render(stateOf([one], needs)).elements;
      assert.deepEqual(whole.slice(whole.length - part.length), part);
    }),
  );
});

test('constants are the same array while the needs are the same, and none is a foreign object', () => {
  const dialect = nftables(plain);
  const needs = needsOf([]);
  const first = dialect.render(stateOf([], needs));
  assert.equal(dialect.render(stateOf([vip('10.50.0.1', [port(80)])], needs)).constants, first.constants);
  assert.notEqual(dialect.render(stateOf([], { ...needs, egress: true })).constants, first.constants);
  assert.ok(first.constants.every(({ foreign }) => !foreign));
});

test('rules match on conntrack only where a VIP needs it; without egress only NAT makes an answer', () => {
  /** The keys of enum nft_ct_keys that each rule with `ct` reads. */
  const keysOf = (needs: Partial<ReturnType<typeof needsOf>>, options = plain): number[][] => {
    const constants = nftables(options).render(stateOf([], { ...needsOf([]), ...needs })).constants;
    const rules = constants.flatMap((object: NftObject) => (object.kind === 'chain' ? object.rules : []));
    return rules.flatMap((rule) => {
      const found = Buffer.from(rule)
        .toString('latin1')
        .matchAll(/ct\0\0.{12}.\0.\0{4}(.)/gs);
      const keys = [...found].map(([, key = '']) => key.charCodeAt(0));
      return keys.length === 0 ? [] : [keys];
    });
  };
  const status = 2;
  assert.equal(keysOf({}).length, 0);
  // Of each family three at input and one against forged sources.
  const forward = keysOf({ forward: true });
  assert.equal(forward.length, 8);
  assert.ok(forward.every((keys) => keys.includes(status)));
  // Of each family five at input, five at -190, three at output and one against forged sources.
  const egress = keysOf({ egress: true });
  assert.equal(egress.length, 28);
  assert.ok(!egress.every((keys) => keys.includes(status)));
  // Without the expression fib two less: none against forged sources, and none about other nodes at -190.
  assert.equal(keysOf({ egress: true }, { ...plain, localAddresses: false }).length, 24);
});

/** The elements of a VIP in words, computed from the declaration without the code under test. */
function expectedOf({ address, filtered, egress, ports }: VirtualIp): string[] {
  if (!filtered) return [];
  const family = familyOf(address);
  const lines = [`element vip${family} { ${address} }`, `element drop${family} { ${address} }`];
  if (egress) lines.push(`element egress${family} { ${address} }`);
  for (const { protocol, port: number, sources: ranges, delivery } of ports) {
    const key = `${address} . ${protocol.toLowerCase()} . ${number}`;
    const own = (ranges ?? []).filter((range) => familyOf(range) === family);
    if (ranges === null || own.some((range) => prefixLength(range) === 0))
      lines.push(`element allow${family} { ${key} }`);
    for (const range of own.filter((one) => prefixLength(one) > 0)) {
      const network = formatAddress(addressBytes(prefixAddress(range)));
      lines.push(`element src${family}_${prefixLength(range)} { ${key} . ${network} }`);
    }
    if (delivery === 'host') lines.push(`element host${family} { ${key} }`);
  }
  return [...new Set(lines)].sort();
}
