// The desired state of a node as its dialects get it: VIPs, and the needs of the table as a whole.

import type { Address } from './address.ts';
import type { VirtualIp } from './virtual-ip.ts';

/**
 * What all VIPs together require of the constant part of a firewall. It is derived from them, and replaced
 * only if it differs.
 */
export interface Needs {
  /** Prefix lengths of the source ranges in use, ascending. */
  readonly sourceLengths4: readonly number[];
  readonly sourceLengths6: readonly number[];
  /** At least one VIP has egress. */
  readonly egress: boolean;
  /**
   * At least one port is delivered by a DNAT rule of another program, so answers to the node itself come back
   * through conntrack.
   */
  readonly forward: boolean;
  readonly capacities: Capacities;
}

/** The number of elements that the sets of each kind must be able to hold: powers of two with headroom. */
export interface Capacities {
  readonly vips4: number;
  readonly vips6: number;
  readonly ports4: number;
  readonly ports6: number;
  readonly sources4: number;
  readonly sources6: number;
}

/** An address that this node holds, and its interface. */
export interface HeldAddress {
  readonly address: Address;
  readonly interfaceIndex: number;
}

/**
 * A part or the whole of the desired state. render() treats both alike, so a change costs only what changed.
 */
export interface DesiredState {
  readonly needs: Needs;
  readonly vips: Iterable<VirtualIp>;
  readonly held: Iterable<HeldAddress>;
}
