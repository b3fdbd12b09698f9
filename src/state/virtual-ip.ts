// A filtered VIP: one address, the union of what its Services declare on it, and the placement on a node.

import type { Address, Prefix } from './address.ts';
import type { Port, Protocol } from './port.ts';
import type { Delivery, ServiceKey } from './service.ts';
import type { Term } from './term.ts';

/**
 * One declared port. `sources` null allows all sources; a list without a range of a family closes the port to
 * that family.
 */
export interface VipPort {
  readonly protocol: Protocol;
  readonly port: Port;
  readonly service: ServiceKey;
  readonly delivery: Delivery;
  readonly sources: readonly Prefix[] | null;
}

/** The rule of a VIP, the same on every node. `ports` is sorted and contains each (protocol, port) once. */
export interface VirtualIp {
  readonly address: Address;
  /** False only if every Service on the address has opted out of filtering. */
  readonly filtered: boolean;
  /** True if answers to connections from the VIP are accepted. */
  readonly egress: boolean;
  readonly ports: readonly VipPort[];
}

/** This node holds a VIP; the term orders this decision among others. */
export interface Placement {
  readonly address: Address;
  readonly term: Term;
}

/** The Services on a VIP, each once, in the order of their ports. */
export function servicesOf(vip: VirtualIp): ServiceKey[] {
  return [...new Set(vip.ports.map((port) => port.service))];
}

/** The order of ports in a VIP: by protocol, then by number. */
export function comparePorts(a: VipPort, b: VipPort): number {
  return a.protocol < b.protocol ? -1 : a.protocol > b.protocol ? 1 : a.port - b.port;
}
