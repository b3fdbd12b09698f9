// The one interface that a firewall, or any other kernel subsystem we write, is told through: values in,
// bytes out.

import type { Step } from '../netlink/ack.ts';
import type { Address } from '../state/address.ts';
import type { DesiredState, Needs } from '../state/desired-state.ts';
import type { ServiceKey } from '../state/service.ts';

/**
 * Something the kernel holds for us. Two objects are the same thing if their ids are equal, and the same in
 * every respect if their contents are equal too.
 */
export interface KernelObject {
  readonly id: string;
  readonly content: string;
  /** The VIP it exists for; null for the constant part. */
  readonly owner: Address | null;
  /** The Service that asked for it, where it is one Service's alone. */
  readonly service: ServiceKey | null;
  /** Not ours: carried so that it can be seen, never changed. */
  readonly foreign: boolean;
}

/**
 * `constants` is one and the same array as long as nothing in it changes, so that a diff need not look
 * inside.
 */
export interface KernelObjects<O extends KernelObject = KernelObject> {
  readonly constants: readonly O[];
  readonly elements: readonly O[];
  /**
   * What was found in the kernel serves these needs, so that a restart takes nothing back; null where nothing
   * is.
   */
  readonly needs: Needs | null;
}

/** Objects to take away and to put in. One that changes is in both. */
export interface Delta<O extends KernelObject = KernelObject> {
  readonly remove: readonly O[];
  readonly add: readonly O[];
}

/** Which socket a transaction or a question goes through: xtables takes the family and name of a table. */
export const Door = { nfnetlink: 'nfnetlink', rtnetlink: 'rtnetlink', xtables: 'xtables' } as const;
export type Door = (typeof Door)[keyof typeof Door];

/**
 * A change of the kernel as data. Steps are committed in order; each is all or nothing where the kernel can
 * do that.
 */
export interface Transaction<O = KernelObject> {
  readonly door: Exclude<Door, 'xtables'>;
  readonly steps: readonly Step<O>[];
  /** Tables to rewrite when the steps are committed, in this order. */
  readonly tables?: readonly TableStep<O>[];
  /** Steps that come behind the tables. */
  readonly after?: readonly Step<O>[];
}

/** A table that can only be changed by writing it anew: it is read, edited and put back under its lock. */
export interface TableStep<O> {
  /** What a refusal is about. */
  readonly object: O;
  readonly family: 4 | 6;
  readonly table: string;
  /** What has to be known to edit it. */
  readonly sets: DumpRequest;
  /** Pure. Throws NetlinkError on bytes that lie. */
  edit(read: TableRead): TableWrite;
}

/** struct ipt_getinfo, the entries behind each other, and the reply to `sets`. */
export interface TableRead {
  readonly info: Uint8Array;
  readonly entries: Uint8Array;
  readonly sets: Uint8Array;
}

export interface TableWrite {
  /** struct ipt_replace and the entries. */
  readonly replace: Uint8Array;
  /** For every entry, which one of the old table has counted for it so far; -1 for none. */
  readonly origins: readonly number[];
}

/** One dump to ask for; `bytes` is the whole request. */
export interface DumpRequest {
  readonly door: Door;
  readonly bytes: Uint8Array;
}

export interface Dialect<O extends KernelObject = KernelObject> {
  readonly name: 'nftables' | 'xtables' | 'addresses';
  /** What the kernel should hold for a part or the whole of the state. Pure, and O(what it is given). */
  render(state: DesiredState): KernelObjects<O>;
  readonly dumps: readonly DumpRequest[];
  /**
   * What the kernel holds, from the replies to `dumps` in their order. Throws NetlinkError on bytes that lie.
   */
  decode(replies: readonly Uint8Array[]): KernelObjects<O>;
  encode(delta: Delta<O>): Transaction<O>;
}

/** A packet on its way in, as far as rules of ours look at it. */
export interface Packet {
  readonly address: Address;
  /** IPPROTO_* of netinet/in.h. */
  readonly protocol: number;
  readonly port: number;
  /** Null where its source is not said. */
  readonly from: Address | null;
}

/** What the kernel holds of a packet now, whatever it should hold. */
export interface Trace {
  /** Its address is in the gate; without that no rule of ours looks at it. */
  readonly guarded: boolean;
  /** Its port is open to all, or to its source; null: it would be dropped. */
  readonly open: 'to all' | 'to its source' | null;
  /** The node itself may answer. */
  readonly host: boolean;
  /** The rule that decides, in the words of the dialect's own tool; null where none does. */
  readonly rule: string | null;
}

/** How the kernel is asked what a dialect's rules would do with a packet. */
export interface Tracer {
  question(packet: Packet): DumpRequest;
  /** Throws NetlinkError on bytes that lie. */
  read(reply: Uint8Array, packet: Packet, observe: boolean): Trace;
}

/** Packets of one source to one port of a VIP that `--filter observe` let through. */
export interface Sample {
  readonly vip: Address;
  readonly source: Address;
  /** IPPROTO_* of netinet/in.h. */
  readonly protocol: number;
  /** 0 where the protocol has no ports. */
  readonly port: number;
  readonly packets: number;
  /** Since the last of them, in milliseconds. */
  readonly idleMs: number;
}

/** How the samples of a dialect are read; the kernel takes them by itself, and forgets them. */
export interface Sampler {
  /** How many the kernel keeps of a family. */
  readonly capacity: number;
  readonly dumps: readonly DumpRequest[];
  /** From the replies to `dumps` in their order; none where nothing is observed. Throws NetlinkError. */
  read(replies: readonly Uint8Array[]): Sample[];
}
