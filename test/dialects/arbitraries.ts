// Random desired states, and the needs and capacities that an agent would compute for them.
import fc from 'fast-check';
import { diff } from '../../src/dialects/delta.ts';
import type { Delta, KernelObject, KernelObjects } from '../../src/dialects/dialect.ts';
import type { NftOptions } from '../../src/dialects/nftables/ruleset.ts';
import { familyOf, formatAddress, parsePrefix, prefixLength } from '../../src/state/address.ts';
import type { Capacities, DesiredState, Needs } from '../../src/state/desired-state.ts';
import { Protocol, parsePort } from '../../src/state/port.ts';
import { parseServiceKey } from '../../src/state/service.ts';
import { comparePorts, type VipPort, type VirtualIp } from '../../src/state/virtual-ip.ts';

export const roomy: Capacities = {
  vips4: 1024,
  vips6: 1024,
  ports4: 4096,
  ports6: 4096,
  sources4: 4096,
  sources6: 4096,
};

/** The options of a table on a current kernel unless a test says otherwise. */
export const plain: NftOptions = {
  tableFlags: 0,
  setExpressionFlag: true,
  localAddresses: true,
  counters: false,
  echo: true,
  observe: false,
};

/** The needs of these VIPs as an agent computes them. */
export function needsOf(vips: readonly VirtualIp[], capacities: Capacities = roomy): Needs {
  const filtered = vips.filter((vip) => vip.filtered);
  const ports = filtered.flatMap((vip) => vip.ports.map((port) => ({ port, family: familyOf(vip.address) })));
  const lengths = (family: 4 | 6): number[] => {
    const all = ports.filter((one) => one.family === family).flatMap(({ port }) => port.sources ?? []);
    const used = all.filter((prefix) => familyOf(prefix) === family).map(prefixLength);
    return [...new Set(used)].filter((length) => length > 0).sort((a, b) => a - b);
  };
  return {
    sourceLengths4: lengths(4),
    sourceLengths6: lengths(6),
    egress: filtered.some((vip) => vip.egress),
    forward: ports.some(({ port }) => port.delivery === 'forward'),
    capacities,
  };
}

/** The state that holds these VIPs and nothing else. */
export function stateOf(vips: readonly VirtualIp[], needs: Needs = needsOf(vips)): DesiredState {
  return { needs, vips, held: [] };
}

export function deltaOf<O extends KernelObject>(have: KernelObjects<O>, want: KernelObjects<O>): Delta<O> {
  return diff(have, want);
}

export const nothing: KernelObjects<never> = { constants: [], elements: [], needs: null };

export function anyOptions(): fc.Arbitrary<Pick<NftOptions, 'counters' | 'echo' | 'observe'>> {
  return fc.record({ counters: fc.boolean(), echo: fc.boolean(), observe: fc.boolean() });
}

/** Few addresses and ports, so that two lists have VIPs in common that differ a little. */
export function anyVips(maxLength = 8): fc.Arbitrary<VirtualIp[]> {
  return fc.uniqueArray(anyVip(), { maxLength, selector: (vip) => vip.address });
}

export function anyVip(): fc.Arbitrary<VirtualIp> {
  const address = fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 12 })).map(([of4, last]) => {
    const bytes = of4 ? Uint8Array.of(10, 50, 0, last) : new Uint8Array(16);
    if (!of4) bytes.set([0xfd, 0x50, last], 0);
    if (!of4) bytes[15] = last;
    return formatAddress(bytes);
  });
  const ports = fc.uniqueArray(anyPort(), {
    maxLength: 4,
    selector: ({ protocol, port }) => `${protocol} ${port}`,
  });
  return fc.record({
    address,
    filtered: fc.nat(5).map((n) => n > 0),
    egress: fc.nat(4).map((n) => n === 0),
    ports: ports.map((list) => list.toSorted(comparePorts)),
  });
}

function anyPort(): fc.Arbitrary<VipPort> {
  return fc.record({
    protocol: fc.constantFrom(Protocol.TCP, Protocol.UDP, Protocol.SCTP),
    port: fc
      .oneof(fc.constantFrom(80, 443, 53, 1, 65535, 256), fc.integer({ min: 1, max: 65535 }))
      .map(parsePort),
    service: fc.constantFrom('default/web', 'default/dns', 'other/web').map(parseServiceKey),
    delivery: fc.constantFrom('host' as const, 'forward' as const),
    sources: fc.option(fc.array(anyPrefix(), { maxLength: 5 }), { freq: 2 }),
  });
}

/** Host bits set and not, doubles, the whole world, single hosts, both families. */
function anyPrefix() {
  const text = fc.oneof(
    fc.constantFrom(
      '0.0.0.0/0',
      '::/0',
      '10.0.0.0/8',
      '10.1.2.3/8',
      '192.0.2.7/32',
      'fd00::/8',
      'fd00::1/128',
    ),
    fc.tuple(fc.nat(255), fc.nat(32)).map(([byte, length]) => `${byte}.${byte}.7.9/${length}`),
    fc.tuple(fc.nat(0xffff), fc.nat(128)).map(([group, length]) => `fd00:${group.toString(16)}::9/${length}`),
  );
  return text.map(parsePrefix);
}
