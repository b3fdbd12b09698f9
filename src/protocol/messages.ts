// Every message between controller and agent, as JSON text frames of the WebSocket subprotocol `vipward.v1`.

import type { Address, Prefix } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';
import type { Term } from '../state/term.ts';
import type { Placement, VirtualIp } from '../state/virtual-ip.ts';

export const subprotocol = 'vipward.v1';

/** The largest frame either side accepts, in bytes; a longer one closes the stream with 1009. */
export const frameLimitBytes: number = 4 * 1024 * 1024;

/** The limit for a frame that lists the held VIPs: with heldLimit VIPs it is longer than any other frame. */
export const heldFrameLimitBytes: number = 12 * 1024 * 1024;

/** The longest canonical JSON of one VIP, since a VIP has to fit into one frame. */
export const vipLimitBytes: number = 3 * 1024 * 1024;

/** The limits of texts in characters, and of lists in items. */
export const limits = {
  /** `version`, `firewall` and `cluster`. */
  name: 64,
  nodeName: 253,
  reason: 4096,
  /** `allow`, `onLink` and `macs`. */
  ofNode: 1000,
} as const;

/** The start of the reason with which a controller closes (1008) the older of two streams of one node. */
export const replacedReason = 'another connection said hello';

/** A page ends when it holds this many Services, counting each VIP as at least one. */
export const pageServices = 500;

/** The most items of itemsOf() in the pages of one table before its `synced`. */
export const stagedLimit = 500_000;

/** The most VIPs that a node may hold: a hello lists them all. */
export const heldLimit = 100_000;

/**
 * Each side sends `tick` at this interval, and takes the peer for lost after three intervals without a frame.
 */
export const heartbeatMs = 1000;

/** A controller with this feature accepts `heldDelta`: the changes since the last `held`. */
export const heldDeltaFeature = 'held-delta';

/**
 * The features this side has beyond the first version. A message that needs a feature is sent only to a peer
 * that named it.
 */
export const features: readonly string[] = [heldDeltaFeature];

/** `rules` is the same for every node; `placements` belong to one node. */
export type TableName = 'rules' | 'placements';

export interface Tables {
  readonly rules: VirtualIp;
  readonly placements: Placement;
}

/** One side's content of a table. `digests` has the non-empty buckets (docs/protocol.md, Digests). */
export interface TableDigest {
  readonly count: number;
  readonly digests: Readonly<Record<string, string>>;
}

/** Why a resource is not in force. `KernelRefused` carries the kernel's errno and words in its reason. */
export const RefusalCode = {
  KernelRefused: 'KernelRefused',
  Forbidden: 'Forbidden',
  AddressConflict: 'AddressConflict',
  NoInterface: 'NoInterface',
} as const;
export type RefusalCode = (typeof RefusalCode)[keyof typeof RefusalCode];

/** A VIP that the node's kernel holds. */
export interface HeldVip {
  readonly address: Address;
  readonly term: Term;
  /** Its link is down or has no carrier: no client reaches it there. */
  readonly down?: true;
}

/** A resource that the agent could not put in force; `services` names the affected Services. */
export interface Refusal {
  readonly table: TableName;
  readonly key: Address;
  readonly services: readonly ServiceKey[];
  readonly code: RefusalCode;
  readonly reason: string;
  /** The hardware address (`02:00:5e:10:00:01`) of a host that has or probes the address, if there is one. */
  readonly mac?: string;
}

// Agent to controller.

export interface Hello {
  readonly type: 'hello';
  readonly version: string;
  readonly features: readonly string[];
  readonly node: string;
  readonly firewall: string;
  readonly allow: readonly Prefix[];
  readonly onLink: readonly Prefix[];
  /** The hardware addresses of the interfaces that can carry a VIP. */
  readonly macs?: readonly string[];
  /** The cluster that this agent is pinned to; null before its first sync. */
  readonly cluster: string | null;
  /** The highest generation this agent has obeyed. */
  readonly generation: number;
  readonly rules: TableDigest;
  readonly placements: TableDigest;
  readonly held: readonly HeldVip[];
}

/** This node's kernel has committed everything of the table up to `seq`, except refused resources. */
export interface Ack {
  readonly type: 'ack';
  readonly table: TableName;
  readonly seq: number;
  /** The time from the frame's arrival to the kernel's answer. */
  readonly commitUs: number;
}

export interface Refused extends Refusal {
  readonly type: 'refused';
}

/** A formerly refused resource is now in force, or no longer wanted. */
export interface Accepted {
  readonly type: 'accepted';
  readonly table: TableName;
  readonly key: Address;
}

/** The full list of VIPs that this node holds now: usable and announced. */
export interface Held {
  readonly type: 'held';
  readonly vips: readonly HeldVip[];
}

/** The changes to the held VIPs since the last report. Needs `held-delta`. */
export interface HeldDelta {
  readonly type: 'heldDelta';
  readonly set: readonly HeldVip[];
  readonly remove: readonly Address[];
}

/** The agent found a gap or a wrong digest: the controller sends what differs from this. */
export interface Resync {
  readonly type: 'resync';
  readonly table: TableName;
  readonly have: TableDigest;
}

export interface Tick {
  readonly type: 'tick';
}

/** The agent stops on purpose and leaves its kernel state in place. */
export interface Bye {
  readonly type: 'bye';
}

export type AgentMessage = Hello | Ack | Refused | Accepted | Held | HeldDelta | Resync | Tick | Bye;

// Controller to agent.

export interface Welcome {
  readonly type: 'welcome';
  readonly version: string;
  readonly features: readonly string[];
  readonly cluster: string;
  readonly generation: number;
  /** False for a standby, which accepts hellos and heartbeats but sends no state. */
  readonly ruling: boolean;
}

/**
 * Placements of VIPs that no node is known to have held. A foreign host may have the address, so the agent
 * probes the link first. Digests do not include this list.
 */
export type FirstClaims = readonly Address[];

/** A part of a table: `set` replaces the content of `buckets` once `synced` has arrived. */
export interface Page<Name extends TableName = TableName> {
  readonly type: 'page';
  readonly table: Name;
  readonly buckets: readonly number[];
  readonly set: readonly Tables[Name][];
}

/** The controller has sent all pages of the table; the agent's content must now match this. */
export interface Synced {
  readonly type: 'synced';
  readonly table: TableName;
  readonly seq: number;
  readonly count: number;
  readonly digest: string;
  /** First claims of the whole table. */
  readonly first?: FirstClaims;
}

/** The changes from `from` to `to`. An agent that is not at `from` asks for a resync. */
export interface DeltaMessage<Name extends TableName = TableName> {
  readonly type: 'delta';
  readonly table: Name;
  readonly from: number;
  readonly to: number;
  readonly set: readonly Tables[Name][];
  readonly remove: readonly Address[];
  /** First claims among `set`. */
  readonly first?: FirstClaims;
  /** Placements in `set` that are about to move to another node: the agent no longer announces them. */
  readonly quiet?: readonly Address[];
}

export type ControllerMessage =
  | Welcome
  | Page<'rules'>
  | Page<'placements'>
  | Synced
  | DeltaMessage<'rules'>
  | DeltaMessage<'placements'>
  | Tick;
