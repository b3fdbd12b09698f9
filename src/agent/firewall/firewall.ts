// What the agent has to know of a firewall of this kernel, whichever dialect it speaks.

import type { Wish } from '../../dialects/choose.ts';
import type {
  Delta,
  Dialect,
  KernelObject,
  KernelObjects,
  Sampler,
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
  /** Take the table for ourselves, so that nobody else can change it, where the kernel lets us. */
  readonly owner: boolean;
}

export interface Firewall {
  readonly dialect: Dialect;
  /** As agents of this kernel speak that were told other options, and one that was told these. */
  siblings(): readonly Dialect[];
  /** Nobody else can change the rules while this process lives, so nobody needs to be looked after. */
  readonly owned: boolean;
  /** A step that was refused has changed nothing. */
  readonly atomic: boolean;
  readonly sampler: Sampler;
  /** What works less well with this kernel than it could. */
  readonly shortfalls: readonly string[];
  describe(object: KernelObject): string;
  counters(kernel: Kernel, vips: readonly VirtualIp[]): Promise<Map<Address, VipCounters>>;
  /** For a kernel that says nothing when it is changed; null where it does say so. */
  readonly glance: Glance | null;
  /** Elements as they are in the sets among these constants, which may be larger than those they were in. */
  inSetsOf(constants: readonly KernelObject[], elements: readonly KernelObject[]): readonly KernelObject[];
  /** The name of a set, or of the one that an element is in; empty for what is neither. */
  setOf(object: KernelObject): string;
  /**
   * Where such an object is there, and other than it should be or not wanted at all, every VIP is guarded
   * all the same.
   */
  guardsAnyway(object: KernelObject, isWanted: boolean): boolean;
  /**
   * The VIPs that elements found are a guard for, where more of them may have been in sets that are not read:
   * whoever was making those larger did not get to the end. Null where everything was found.
   */
  guardedInPart(found: KernelObjects): ReadonlySet<Address> | null;
  /** Whether what was found is a table of another make, which is replaced as a whole. */
  replaces(delta: Delta): boolean;
}

/** Of all that an agent can be told of its filter. */
export function withAllOptions(make: (options: RenderOptions) => Dialect): Dialect[] {
  const both = [false, true];
  return both.flatMap((observe) =>
    both.flatMap((counters) => both.map((echo) => make({ observe, counters, echo }))),
  );
}

type RenderOptions = Pick<FirewallOptions, 'observe' | 'counters' | 'echo'>;

/** Work in pieces, and what comes of it. */
export type Steps<T> = Generator<undefined, T>;

/** The two parts of what is there, each by itself. Asking throws SystemCallError. */
export interface Glance {
  constants(kernel: Kernel): Promise<readonly KernelObject[]>;
  /** A print of all elements that are there, in steps between which others may have their turn. */
  printFound(kernel: Kernel): Promise<Steps<string>>;
  /** The print that these would have, in whatever order. */
  printWanted(lists: Iterable<Iterable<KernelObject>>): Steps<string>;
}

/** Packets dropped at a VIP, and packets by port; null where the kernel does not count or did not answer. */
export interface VipCounters {
  readonly dropped: number | null;
  readonly ports: readonly (number | null)[];
}

/** No firewall of this kernel can be used; the message says what is missing. */
export class NoFirewallError extends Error {
  readonly code = 'NoFirewall';
}

/** What of another dialect is in the kernel, and the transaction that takes it away; null for nothing. */
export interface Remains {
  readonly transaction: Transaction | null;
  readonly words: string;
}

/** Another process owns our table: its netlink port id, which usually is its process id. */
export class TableOwnedError extends Error {
  readonly code = 'TableOwned';
  readonly portId: number;

  constructor(portId: number) {
    super(`table inet vipward belongs to another process (netlink port ${portId})`);
    this.portId = portId;
  }
}
