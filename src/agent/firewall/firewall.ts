// The firewall of this node as the agent sees it, nftables or xtables.

import type { Wish } from '../../dialects/choose.ts';
import type {
  Delta,
  Dialect,
  KernelObject,
  KernelObjects,
  Sampler,
  Tracer,
  Transaction,
} from '../../dialects/dialect.ts';
import type { Kernel } from '../../host/kernel.ts';
import type { Address } from '../../state/address.ts';
import type { VirtualIp } from '../../state/virtual-ip.ts';

export interface FirewallOptions {
  readonly wish: Wish;
  readonly observe: boolean;
  readonly counters: boolean;
  readonly echo: boolean;
  /**
   * Make this process the owner of the table where the kernel can (NFT_TABLE_F_OWNER): no other process can
   * change it.
   */
  readonly owner: boolean;
}

export interface Firewall {
  readonly dialect: Dialect;
  /** The dialects of agents on this kernel with every combination of options, this agent's own among them. */
  siblings(): readonly Dialect[];
  /** No other process can change the rules while this one lives, so nobody has to watch them. */
  readonly owned: boolean;
  /** A refused step changes nothing. */
  readonly atomic: boolean;
  readonly sampler: Sampler;
  readonly tracer: Tracer;
  /** What this kernel lacks, and what works less well for it. */
  readonly shortfalls: readonly string[];
  describe(object: KernelObject): string;
  counters(kernel: Kernel, vips: readonly VirtualIp[]): Promise<Map<Address, VipCounters>>;
  /** How to look for changes in a kernel that sends no event of them; null where it sends events. */
  readonly glance: Glance | null;
  /** The elements as members of the sets in `constants`, which may be larger than their former sets. */
  inSetsOf(constants: readonly KernelObject[], elements: readonly KernelObject[]): readonly KernelObject[];
  /** The name of a set, or of the set of an element; empty for other objects. */
  setOf(object: KernelObject): string;
  /** Whether every VIP stays guarded although this object differs from what is wanted, or is not wanted. */
  guardsAnyway(object: KernelObject, isWanted: boolean): boolean;
  /**
   * The VIPs in the gates of an incomplete table: a writer stopped while it was enlarging sets, and more VIPs
   * may be in sets that are not read. Null if everything was found.
   */
  guardedInPart(found: KernelObjects): ReadonlySet<Address> | null;
  /** Whether the delta replaces a table of ours that has another layout or other owner flags. */
  replaces(delta: Delta): boolean;
}

/** One dialect for each combination of the agent's filter options. */
export function withAllOptions(make: (options: RenderOptions) => Dialect): Dialect[] {
  const both = [false, true];
  return both.flatMap((observe) =>
    both.flatMap((counters) => both.map((echo) => make({ observe, counters, echo }))),
  );
}

type RenderOptions = Pick<FirewallOptions, 'observe' | 'counters' | 'echo'>;

/** Work in pieces, with its result. */
export type Steps<T> = Generator<undefined, T>;

/** Reads the constants and the elements in the kernel separately. Throws SystemCallError. */
export interface Glance {
  constants(kernel: Kernel): Promise<readonly KernelObject[]>;
  /** A fingerprint of all elements in the kernel, made in steps so that other work can run between them. */
  printFound(kernel: Kernel): Promise<Steps<string>>;
  /** The fingerprint that these elements would have, in any order. */
  printWanted(lists: Iterable<Iterable<KernelObject>>): Steps<string>;
}

/** Packets dropped at a VIP and accepted per port; null where the kernel does not count or did not answer. */
export interface VipCounters {
  readonly dropped: number | null;
  readonly ports: readonly (number | null)[];
}

/** This kernel supports neither firewall; the message says what is missing. */
export class NoFirewallError extends Error {
  readonly code = 'NoFirewall';
}

/** What another dialect left in the kernel, and the transaction that removes it; null for nothing. */
export interface Remains {
  readonly transaction: Transaction | null;
  readonly words: string;
}

/** Another process owns our table; its netlink port id usually is its process id. */
export class TableOwnedError extends Error {
  readonly code = 'TableOwned';
  readonly portId: number;

  constructor(portId: number) {
    super(`table inet vipward belongs to another process (netlink port ${portId})`);
    this.portId = portId;
  }
}
