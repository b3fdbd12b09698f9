// The interface of every kernel subsystem that vipward writes to: values in, bytes out.

import type { Step } from '../netlink/ack.ts';
import type { Address } from '../state/address.ts';
import type { DesiredState, Needs } from '../state/desired-state.ts';
import type { ServiceKey } from '../state/service.ts';

/**
 * An object that the kernel holds for us. Equal ids mean the same object; equal contents too mean that
 * nothing in it differs.
 */
export interface KernelObject {
  readonly id: string;
  readonly content: string;
  /** Compares ids and contents for an object that has to make its id first. */
  equals?(other: KernelObject): boolean;
  /** The VIP it belongs to; null for the constant part. */
  readonly owner: Address | null;
  /** The Service that asked for it, if exactly one did. */
  readonly service: ServiceKey | null;
  /** The object is not ours: diffs show it, and nothing changes it. */
  readonly foreign: boolean;
}

/**
 * `constants` stays the same array while none of its objects changes, so that a diff can skip it by identity.
 */
export interface KernelObjects<O extends KernelObject = KernelObject> {
  readonly constants: readonly O[];
  readonly elements: readonly O[];
  /**
   * The needs that the constants found in the kernel already serve, so that a restart takes nothing back.
   * Null if there are none.
   */
  readonly needs: Needs | null;
}

/** Objects to delete and to create. A changed object is in both lists. */
export interface Delta<O extends KernelObject = KernelObject> {
  readonly remove: readonly O[];
  readonly add: readonly O[];
}

/** The socket for a transaction or a request. An xtables request is the family and the name of a table. */
export type Door = 'nfnetlink' | 'rtnetlink' | 'xtables';

/**
 * A change of the kernel as data. Steps are committed in order; each is all or nothing where the kernel
 * supports that.
 */
export interface Transaction<O = KernelObject> {
  readonly door: Exclude<Door, 'xtables'>;
  readonly steps: readonly Step<O>[];
  /** Tables to rewrite after the steps, in this order. */
  readonly tables?: readonly TableStep<O>[];
  /** Steps to commit after the tables. */
  readonly after?: readonly Step<O>[];
}

/** A table that the kernel only replaces as a whole: it is read, edited and written back under its lock. */
export interface TableStep<O> {
  /** The object that a refusal names. */
  readonly object: O;
  readonly family: 4 | 6;
  readonly table: string;
  /** The dump of the sets, which the edit needs. */
  readonly sets: DumpRequest;
  /** Pure. Throws NetlinkError on malformed bytes. */
  edit(read: TableRead): TableWrite;
}

/** struct ipt_getinfo, the table's entries one after another, and the reply to `sets`. */
export interface TableRead {
  readonly info: Uint8Array;
  readonly entries: Uint8Array;
  readonly sets: Uint8Array;
}

export interface TableWrite {
  /** struct ipt_replace followed by the entries. */
  readonly replace: Uint8Array;
  /** For every new entry, the index of the old entry whose counters it keeps; -1 for none. */
  readonly origins: readonly number[];
}

/** One dump request; `bytes` is the whole request. */
export interface DumpRequest {
  readonly door: Door;
  readonly bytes: Uint8Array;
}

export interface Dialect<O extends KernelObject = KernelObject> {
  readonly name: 'nftables' | 'xtables' | 'addresses';
  /** The objects the kernel should hold for all or part of the state. Pure, and O(the given part). */
  render(state: DesiredState): KernelObjects<O>;
  readonly dumps: readonly DumpRequest[];
  /**
   * The objects the kernel holds, from the replies to `dumps`, in order. Throws NetlinkError on malformed
   * bytes.
   */
  decode(replies: readonly Uint8Array[]): KernelObjects<O>;
  encode(delta: Delta<O>): Transaction<O>;
}

/** An incoming packet: the fields that our rules look at. */
export interface Packet {
  readonly address: Address;
  /** IPPROTO_* of netinet/in.h. */
  readonly protocol: number;
  readonly port: number;
  /** Null if the source is not given. */
  readonly from: Address | null;
}

/** The verdict on a packet by what the kernel holds now, whatever it should hold. */
export interface Trace {
  /** The packet's address is in the gate set; without that no rule of ours looks at the packet. */
  readonly guarded: boolean;
  /** The port is open to all sources, or to the packet's source; null if the packet would be dropped. */
  readonly open: 'to all' | 'to its source' | null;
  /** The node itself may answer on this port. */
  readonly host: boolean;
  /** The deciding rule in the syntax of the dialect's own tool (nft or iptables); null if no rule decides. */
  readonly rule: string | null;
}

/** Asks the kernel what a dialect's rules would do with a packet. */
export interface Tracer {
  question(packet: Packet): DumpRequest;
  /** Throws NetlinkError on malformed bytes. */
  read(reply: Uint8Array, packet: Packet, observe: boolean): Trace;
}

/** Packets from one source to one port of a VIP that `--filter observe` let through. */
export interface Sample {
  readonly vip: Address;
  readonly source: Address;
  /** IPPROTO_* of netinet/in.h. */
  readonly protocol: number;
  /** 0 if the protocol has no ports. */
  readonly port: number;
  readonly packets: number;
  /** Milliseconds since the last packet. */
  readonly idleMs: number;
}

/** Reads the samples of a dialect. The kernel records them and forgets them by itself. */
export interface Sampler {
  /** The number of samples that the kernel keeps per address family. */
  readonly capacity: number;
  readonly dumps: readonly DumpRequest[];
  /** Samples from the replies to `dumps`, in order; none unless the filter observes. Throws NetlinkError. */
  read(replies: readonly Uint8Array[]): Sample[];
}
