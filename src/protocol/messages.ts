// Every message between controller and agent, as JSON text frames of the WebSocket subprotocol `vipward.v1`.

import type { Address, Prefix } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';
import type { Term } from '../state/term.ts';
import type { Placement, VirtualIp } from '../state/virtual-ip.ts';

export const subprotocol = 'vipward.v1';

/** The largest frame either side accepts, in bytes; a longer one closes the stream with 1009. */
export const frameLimitBytes: number = 4 * 1024 * 1024;

/** The same of a frame that names what a node holds: with heldLimit VIPs it is longer than any other. */
export const heldFrameLimitBytes: number = 12 * 1024 * 1024;

/** The most that one VIP may be of that, as canonical JSON: it goes into one frame, whole. */
export const vipLimitBytes: number = 3 * 1024 * 1024;

/** The most that texts and lists of some kinds may have: characters, and items. */
export const limits = {
  /** `version`, `firewall` and `cluster`. */
  name: 64,
  nodeName: 253,
  reason: 4096,
  /** `allow`, `onLink` and `macs`. */
  ofNode: 1000,
} as const;

/** How the reason begins with which a controller closes (1008) the older of two streams of one node. */
export const replacedReason = 'another connection said hello';

/** A page ends when it holds this many Services, counting each VIP as at least one. */
export const pageServices = 500;

/** So many items of itemsOf() may come in pages of one table before its `synced`. */
export const stagedLimit = 500_000;

/** So many VIPs a node may say that it holds: as many as one list has, of which its hello says them all. */
export const heldLimit = 100_000;

/**
 * Each side says `tick` this often, and takes the other for lost after three times as long without a frame.
 */
export const heartbeatMs = 1000;

/** A controller that names it takes `heldDelta` for what changed since `held`. */
export const heldDeltaFeature = 'held-delta';

/**
 * What this side can do that a version before it could not. A message that needs one is sent only to a peer
 * that named it.
 */
export const features: readonly string[] = [heldDeltaFeature];

/** `rules` is the same for every node; `placements` is a node's own. */
export type TableName = 'rules' | 'placements';

export interface Tables {
  readonly rules: VirtualIp;
  readonly placements: Placement;
}

/**
 * What a side has of one table. `digests` names the buckets that are not empty (docs/protocol.md, Digests).
 */
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
}

/** One resource of one table that the agent could not put in force; `services` names who is affected. */
export interface Refusal {
  readonly table: TableName;
  readonly key: Address;
  readonly services: readonly ServiceKey[];
  readonly code: RefusalCode;
  readonly reason: string;
  /** Who has the address on its link, or is about to take it, as `02:00:5e:10:00:01`, where somebody does. */
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
  /** The hardware addresses of the interfaces that a VIP could go on. */
  readonly macs?: readonly string[];
  /** The cluster this agent is pinned to, null before its first sync. */
  readonly cluster: string | null;
  /** The highest generation this agent has obeyed. */
  readonly generation: number;
  readonly rules: TableDigest;
  readonly placements: TableDigest;
  readonly held: readonly HeldVip[];
}

/**
 * Everything of the table up to `seq` is committed in this node's kernel, but for what was refused by name.
 */
export interface Ack {
  readonly type: 'ack';
  readonly table: TableName;
  readonly seq: number;
  /** From the frame's arrival to the kernel's answer. */
  readonly commitUs: number;
}

export interface Refused extends Refusal {
  readonly type: 'refused';
}

/** A resource that was refused before is in force now, or nobody's wish any more. */
export interface Accepted {
  readonly type: 'accepted';
  readonly table: TableName;
  readonly key: Address;
}

/** The VIPs this node holds now, whole: usable and announced. */
export interface Held {
  readonly type: 'held';
  readonly vips: readonly HeldVip[];
}

/** What changed in that since it was last said. Needs `held-delta`. */
export interface HeldDelta {
  readonly type: 'heldDelta';
  readonly set: readonly HeldVip[];
  readonly remove: readonly Address[];
}

/** A gap or a wrong digest was seen: send what differs from this. */
export interface Resync {
  readonly type: 'resync';
  readonly table: TableName;
  readonly have: TableDigest;
}

export interface Tick {
  readonly type: 'tick';
}

/** The agent ends on purpose and leaves its kernel as it is. */
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
  /** False for a standby, which hears hellos and heartbeats and sends no state. */
  readonly ruling: boolean;
}

/**
 * Placements that no node is known to have held: a stranger may have the address, so it is asked for before
 * it is taken. No part of any digest.
 */
export type FirstClaims = readonly Address[];

/** A part of a table: `buckets` are replaced by `set`, once `synced` has come. */
export interface Page<Name extends TableName = TableName> {
  readonly type: 'page';
  readonly table: Name;
  readonly buckets: readonly number[];
  readonly set: readonly Tables[Name][];
}

/** All pages of the table have been sent: what the receiver must now have. */
export interface Synced {
  readonly type: 'synced';
  readonly table: TableName;
  readonly seq: number;
  readonly count: number;
  readonly digest: string;
  /** Of the whole table. */
  readonly first?: FirstClaims;
}

/** What changed from `from` to `to`. A receiver that is not at `from` asks for a resync. */
export interface DeltaMessage<Name extends TableName = TableName> {
  readonly type: 'delta';
  readonly table: Name;
  readonly from: number;
  readonly to: number;
  readonly set: readonly Tables[Name][];
  readonly remove: readonly Address[];
  /** Of those that are set. */
  readonly first?: FirstClaims;
  /** Placements of those that are set which are about to go to another node: they are announced no more. */
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
