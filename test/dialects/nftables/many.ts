// More VIPs than go in one batch.
import { formatAddress } from '../../../src/state/address.ts';
import type { Capacities } from '../../../src/state/desired-state.ts';
import { parsePort } from '../../../src/state/port.ts';
import { parseServiceKey } from '../../../src/state/service.ts';
import type { VirtualIp } from '../../../src/state/virtual-ip.ts';
import { roomy } from '../arbitraries.ts';

export const large: Capacities = { ...roomy, vips4: 16_384, vips6: 16_384, ports4: 32_768, ports6: 32_768 };

/** 10.0.0.0 and up, each with some ports open to all sources. */
export function manyVips(count: number, ports: number): VirtualIp[] {
  const service = parseServiceKey('default/many');
  return Array.from({ length: count }, (_, index) => ({
    address: formatAddress(Uint8Array.of(10, index >> 16, (index >> 8) & 0xff, index & 0xff)),
    filtered: true,
    egress: false,
    ports: Array.from({ length: ports }, (_unused, number) => ({
      protocol: 'TCP' as const,
      port: parsePort(8000 + number),
      service,
      delivery: 'forward' as const,
      sources: null,
    })),
  }));
}
