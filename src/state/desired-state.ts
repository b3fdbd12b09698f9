// What a node should have, as its dialects are given it: some VIPs, and what holds for the table as a whole.

import type { Address } from './address.ts';
import type { VirtualIp } from './virtual-ip.ts';

/**
 * What the whole set of VIPs needs of the constant part of a firewall. Derived, and changed only when it
 * differs.
 */
export interface Needs {
  /** Prefix lengths that some source range uses, ascending. */
  readonly sourceLengths4: readonly number[];
  readonly sourceLengths6: readonly number[];
  /** Some VIP has egress. */
  readonly egress: boolean;
  /**
   * Some port is delivered by somebody's DNAT, so that answers to the node itself come back through
   * conntrack.
   */
  readonly forward: boolean;
  readonly capacities: Capacities;
}

/** How many elements the sets of each kind must be able to hold: powers of two with headroom. */
export interface Capacities {
  readonly vips4: number;
  readonly vips6: number;
  readonly ports4: number;
  readonly ports6: number;
  readonly sources4: number;
  readonly sources6: number;
}

/** An address this node holds, and the interface it goes on. */
export interface HeldAddress {
  readonly address: Address;
  readonly interfaceIndex: number;
}

/**
 * A part or the whole of the desired state: render() is the same for both, so a change costs only what
 * changed.
 */
export interface DesiredState {
  readonly needs: Needs;
  readonly vips: Iterable<VirtualIp>;
  readonly held: Iterable<HeldAddress>;
}
