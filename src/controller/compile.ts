// The Services on one address -> the VIP that every node guards, and the ports that went to somebody else.
// Pure.

import { itemsOfPort } from '../protocol/items.ts';
import { stagedLimit } from '../protocol/messages.ts';
import type { Address } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';
import { comparePorts, type VipPort, type VirtualIp } from '../state/virtual-ip.ts';
import { RefusalReason, type ServiceManifest, type ServicePort } from './service.ts';

/** A port that a Service declares and another one has. */
export interface PortRefusal extends ServicePort {
  readonly service: ServiceKey;
  readonly reason: RefusalReason;
  readonly message: string;
}

export interface CompiledVip {
  readonly vip: VirtualIp;
  readonly refusedPorts: readonly PortRefusal[];
}

/** Ports times source ranges of one VIP: more would not fit into a frame of the stream. */
export const vipSizeLimit = 40_000;

/** `users` come in the order of compareServices: a port that two want goes to the first. */
export function compileVip(
  address: Address,
  users: readonly ServiceManifest[],
  filterByDefault: boolean,
): CompiledVip {
  const ports = new Map<string, VipPort>();
  const refusedPorts: PortRefusal[] = [];
  let size = 0;
  for (const { key, ports: declared, sources, delivery } of users) {
    for (const { protocol, port } of declared) {
      const holder = ports.get(`${protocol} ${port}`);
      size += Math.max(1, sources?.length ?? 0);
      if (holder === undefined && size <= vipSizeLimit) {
        ports.set(`${protocol} ${port}`, { protocol, port, service: key, delivery, sources });
      } else {
        refusedPorts.push({ protocol, port, service: key, ...whyRefused(address, holder) });
      }
    }
  }
  const vip: VirtualIp = {
    address,
    // One Service that wants the filter has it: opening a VIP is for all who share it to ask.
    filtered: users.some(({ onlyServicePorts }) => onlyServicePorts ?? filterByDefault),
    egress: users.some(({ egress }) => egress),
    ports: [...ports.values()].sort(comparePorts),
  };
  return { vip, refusedPorts };
}

/**
 * What of a VIP fits into so many items, its own resource among them. Ports that are in the rules as they are
 * stay; the others come in as long as there is room.
 */
export function fitted(
  { vip, refusedPorts }: CompiledVip,
  before: VirtualIp | undefined,
  room: number,
): CompiledVip {
  const had = new Map(before?.ports.map((port) => [nameOf(port), itemsOfPort(port)]));
  const isOld = (port: VipPort) => itemsOfPort(port) <= (had.get(nameOf(port)) ?? 0);
  const ports = new Set<VipPort>();
  let left = room - 1;
  for (const port of [...vip.ports.filter(isOld), ...vip.ports.filter((port) => !isOld(port))]) {
    if (itemsOfPort(port) > left) continue;
    left -= itemsOfPort(port);
    ports.add(port);
  }
  const lost = vip.ports.filter((port) => !ports.has(port));
  return {
    vip: { ...vip, ports: vip.ports.filter((port) => ports.has(port)) },
    refusedPorts: [...refusedPorts, ...lost.map(withoutRoom)],
  };
}

/** Whether a VIP was compiled from the same: cheap, and false where the same was only read again. */
export function isSame(a: VirtualIp, b: VirtualIp): boolean {
  if (a.filtered !== b.filtered || a.egress !== b.egress || a.ports.length !== b.ports.length) return false;
  return a.ports.every((port, index) => {
    const other = b.ports[index];
    if (other === undefined || comparePorts(port, other) !== 0) return false;
    const isOfOne = port.service === other.service && port.delivery === other.delivery;
    return isOfOne && port.sources === other.sources;
  });
}

/** How much one Service would have on a VIP of its own. */
export function itemsDeclared({ ports, sources }: ServiceManifest): number {
  return 1 + ports.length * (1 + (sources?.length ?? 0));
}

function nameOf({ protocol, port, service }: VipPort): string {
  return `${protocol} ${port} ${service}`;
}

const noRoom =
  `the rules of all nodes hold at most ${stagedLimit} VIPs, ports and source ranges together, ` +
  'and there is no room for all that it declares: declare fewer ports or ranges, here or elsewhere';

function withoutRoom({ protocol, port, service }: VipPort): PortRefusal {
  return { protocol, port, service, reason: RefusalReason.NotSupported, message: noRoom };
}

function whyRefused(address: Address, holder: VipPort | undefined): Pick<PortRefusal, 'reason' | 'message'> {
  if (holder === undefined) {
    const message = `${address} has over ${vipSizeLimit} pairs of port and range: use another VIP`;
    return { reason: RefusalReason.NotSupported, message };
  }
  const { protocol, port, service } = holder;
  const message = `${protocol} ${port} of ${address} belongs to ${service}, which was first: use another`;
  return { reason: RefusalReason.PortTaken, message };
}
