// A guarded VIP: one address, the union of what its Services declare on it, and who may hold it.

import type { Address, Prefix } from './address.ts';
import type { Port, Protocol } from './port.ts';
import type { Delivery, ServiceKey } from './service.ts';
import type { Term } from './term.ts';

/**
 * One declared port. `sources` null lets everybody in; a list that names no range of a family closes that
 * family.
 */
export interface VipPort {
  readonly protocol: Protocol;
  readonly port: Port;
  readonly service: ServiceKey;
  readonly delivery: Delivery;
  readonly sources: readonly Prefix[] | null;
}

/** What every node must know of a VIP, held or not. `ports` is sorted and names no (protocol, port) twice. */
export interface VirtualIp {
  readonly address: Address;
  /** False only where every Service on the address has opted out of filtering. */
  readonly filtered: boolean;
  /** True if connections that start from the VIP may have their answers. */
  readonly egress: boolean;
  readonly ports: readonly VipPort[];
}

/** That this node holds a VIP, by the right of a term. */
export interface Placement {
  readonly address: Address;
  readonly term: Term;
}

/** The Services on a VIP, each once, in the order of their ports. */
export function servicesOf(vip: VirtualIp): ServiceKey[] {
  return [...new Set(vip.ports.map((port) => port.service))];
}

/** The order in which ports stand in a VIP: protocol, then number. */
export function comparePorts(a: VipPort, b: VipPort): number {
  return a.protocol < b.protocol ? -1 : a.protocol > b.protocol ? 1 : a.port - b.port;
}
