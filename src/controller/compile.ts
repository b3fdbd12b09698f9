// Compiles the Services on one address into the VIP whose rules every node has, and lists the ports that
// Services do not get. Pure.

import { bytesOfPort, canonicalJson } from '../protocol/digest.ts';
import { itemsOfPort } from '../protocol/items.ts';
import { stagedLimit, vipLimitBytes } from '../protocol/messages.ts';
import type { Address } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';
import { comparePorts, type VipPort, type VirtualIp } from '../state/virtual-ip.ts';
import { RefusalReason, type ServiceManifest, type ServicePort } from './service.ts';

/** A port that a Service declares and does not get: another Service has it, or there is no room for it. */
export interface PortRefusal extends ServicePort {
  readonly service: ServiceKey;
  readonly reason: RefusalReason;
  readonly message: string;
}

export interface CompiledVip {
  readonly vip: VirtualIp;
  readonly refusedPorts: readonly PortRefusal[];
}

/** The limit of ports times source ranges of one VIP. */
const vipSizeLimit = 40_000;

/** `users` are in the order of compareServices: a port that two declare goes to the first. */
export function compileVip(
  address: Address,
  users: readonly ServiceManifest[],
  filterByDefault: boolean,
): CompiledVip {
  const ports = new Map<string, VipPort>();
  const refusedPorts: PortRefusal[] = [];
  const bare: VirtualIp = { address, filtered: false, egress: false, ports: [] };
  const left: Room = { pairs: vipSizeLimit, bytes: vipLimitBytes - canonicalJson(bare).length };
  for (const { key, ports: declared, sources, delivery } of users) {
    const pairs = Math.max(1, sources?.length ?? 0);
    for (const { protocol, port } of declared) {
      const wanted: VipPort = { protocol, port, service: key, delivery, sources };
      const name = `${protocol} ${port}`;
      const holder = ports.get(name);
      const size = { pairs, bytes: bytesOfPort(wanted) };
      const why = holder === undefined ? whyTooLarge(address, size, left) : whyTaken(address, holder);
      if (why === null) {
        ports.set(name, wanted);
        left.pairs -= size.pairs;
        left.bytes -= size.bytes;
      } else refusedPorts.push({ protocol, port, service: key, ...why });
    }
  }
  const vip: VirtualIp = {
    address,
    // One Service that wants the filter is enough: a VIP is open only if all its Services ask for it.
    filtered: users.some(({ onlyServicePorts }) => onlyServicePorts ?? filterByDefault),
    egress: users.some(({ egress }) => egress),
    ports: [...ports.values()].sort(comparePorts),
  };
  return { vip, refusedPorts };
}

/**
 * Cuts a VIP down to `room` items, its own resource included. Ports whose rules do not grow stay; the other
 * ports are added while there is room.
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

/** Compares two compiled VIPs cheaply: false if a Service with sources was merely read again. */
export function isSame(a: VirtualIp, b: VirtualIp): boolean {
  if (a.filtered !== b.filtered || a.egress !== b.egress || a.ports.length !== b.ports.length) return false;
  return a.ports.every((port, index) => {
    const other = b.ports[index];
    if (other === undefined || comparePorts(port, other) !== 0) return false;
    const isOfOne = port.service === other.service && port.delivery === other.delivery;
    return isOfOne && port.sources === other.sources;
  });
}

/** The items that a Service would take on a VIP of its own. */
export function itemsDeclared({ ports, sources }: ServiceManifest): number {
  return 1 + ports.length * (1 + (sources?.length ?? 0));
}

function nameOf({ protocol, port, service }: VipPort): string {
  return `${protocol} ${port} ${service}`;
}

const noRoom =
  `all Services together may have at most ${stagedLimit} VIPs, ports and source ranges, ` +
  'and its ports exceed that: declare fewer ports or ranges in this Service or in others';

function withoutRoom({ protocol, port, service }: VipPort): PortRefusal {
  return { protocol, port, service, reason: RefusalReason.NotSupported, message: noRoom };
}

/** What one port takes of a VIP, or what is left of it. */
interface Room {
  pairs: number;
  bytes: number;
}

type Why = Pick<PortRefusal, 'reason' | 'message'>;

function whyTooLarge(address: Address, size: Room, left: Room): Why | null {
  const over =
    size.pairs > left.pairs
      ? `${vipSizeLimit} pairs of port and range`
      : size.bytes > left.bytes
        ? `${vipLimitBytes} bytes of ports, with the names of their Services and their ranges`
        : null;
  if (over === null) return null;
  const message = `${address} has over ${over}: declare fewer, or use another VIP`;
  return { reason: RefusalReason.NotSupported, message };
}

function whyTaken(address: Address, { protocol, port, service }: VipPort): Why {
  const message = `${protocol} ${port} of ${address} already belongs to ${service}: use another`;
  return { reason: RefusalReason.PortTaken, message };
}
