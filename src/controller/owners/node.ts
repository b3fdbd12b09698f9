// One node: what it can do, what it holds, what it was told and what it acknowledged.

import type { Hello, TableDigest, TableName } from '../../protocol/messages.ts';
import { type Address, addressBytes, prefixesContainBytes } from '../../state/address.ts';
import type { Term } from '../../state/term.ts';
import type { Placement } from '../../state/virtual-ip.ts';
import type { AgentStream } from '../stream/agent-stream.ts';
import { Table, type TableChanges } from '../stream/table.ts';
import { assumeHeld, setHeld } from './held.ts';
import { isOwn, type KeptRefusal, Refusals } from './refusals.ts';
import { Unacked } from './unacked.ts';

export interface Bar {
  readonly reason: 'NoEligibleNode' | 'NoLocalEndpoints';
  readonly message: string;
}

/** Outlives its connections: an agent that comes back finds its placements. */
export class Node {
  readonly name: string;
  readonly placements: Table<'placements'>;
  /** The version of each table in the node's kernel; null until the first ack of this connection. */
  readonly acked: Record<TableName, number | null> = { rules: null, placements: null };
  readonly held: Map<Address, Term> = new Map();
  /** Held VIPs that no client reaches there: their link is down or has no carrier. */
  readonly down: Set<Address> = new Set();
  /** Held VIPs that the node was to let go of, or that another node was given since. */
  readonly outdone: Set<Address> = new Set();
  readonly refusals: Refusals = new Refusals();
  /** VIPs it claimed by a term that was never issued: it is not given these. */
  readonly impossible: Set<Address> = new Set();
  isDrained = false;
  /** The cluster deleted its Node while its agent was connected: it is forgotten when its stream ends. */
  isDeleted = false;
  /** Its onLink and allow prefixes as text: nodes with the same text reach the same addresses. */
  range = '';
  /** VIPs that it still holds and another node is about to announce. */
  readonly moving: Set<Address> = new Set();
  /** VIPs have waited lateAfterTicks for it to commit their rules. */
  isLate = false;
  /** Late while another node had those rules: if such a node may have a VIP, this one does not get it. */
  isBehind = false;
  /** From publication to acknowledgement of the last change of the rules. */
  lagMs: number | null = null;
  /** Repeated placements that it has not acknowledged. */
  readonly #unheard: Unacked = new Unacked();
  #stream: AgentStream | null = null;
  #hello: Hello | null = null;
  #allow = prefixesContainBytes([]);
  #onLink = prefixesContainBytes([]);
  /** Why the cluster keeps all VIPs, or this one, off the node, or null. */
  readonly bar: (address: Address) => Bar | null;

  /** `served`: VIPs that some node is known to have held; their placements are no first claims. */
  constructor(name: string, bar: Node['bar'] = () => null, served: ReadonlySet<Address> = new Set()) {
    this.name = name;
    this.bar = bar;
    const first = (address: Address): boolean => !served.has(address);
    this.placements = new Table('placements', { first, quiet: (address) => this.moving.has(address) });
  }

  get stream(): AgentStream | null {
    return this.#stream;
  }

  get hello(): Hello | null {
    return this.#hello;
  }

  get isConnected(): boolean {
    return this.#stream !== null;
  }

  /** Returns the VIPs that it held when it was last heard of and holds no more. */
  connect(hello: Hello, stream: AgentStream): readonly Address[] {
    this.disconnect();
    this.#stream = stream;
    this.#hello = hello;
    this.#allow = prefixesContainBytes(hello.allow);
    this.#onLink = prefixesContainBytes(hello.onLink);
    this.range = `${hello.onLink} ${hello.allow}`;
    this.isLate = false;
    this.isBehind = false;
    this.refusals.begin();
    this.impossible.clear();
    return setHeld(this, hello.held);
  }

  disconnect(): void {
    if (this.#stream !== null) assumeHeld(this, this.placements);
    this.#stream = null;
    this.acked.rules = null;
    this.acked.placements = null;
    this.lagMs = null;
  }

  /** Sends the placements that the node lacks, and from then on each change. */
  startPlacements(): void {
    if (this.#hello === null || this.#stream === null) return;
    this.#stream.begin({ placements: this.#hello.placements });
    this.#repeatUnheard();
  }

  /** Its agent has missed a frame, and ignores those that came after it. */
  resync(table: TableName, have: TableDigest): void {
    this.#stream?.resync(table, have);
    if (table === 'placements') this.#repeatUnheard();
  }

  /** Everything up to `seq` of the table is in this node's kernel. */
  acknowledged(table: TableName, seq: number): void {
    this.acked[table] = seq;
    this.#unheard.take(this);
  }

  /** Changes the node's placements. A disconnected node hears of the change when it is back. */
  tell({ set, remove, again }: Required<TableChanges<Placement>>): void {
    for (const change of this.placements.put({ set, remove, again }))
      this.#stream?.publish('placements', change);
    for (const key of again) this.#unheard.add(this, key);
  }

  /** Its agent may also have been started since it was told to fall silent. */
  #repeatUnheard(): void {
    const again = new Set([...this.#unheard.of(this), ...this.moving]);
    this.tell({ set: [...again].flatMap((key) => this.placements.get(key) ?? []), remove: [], again });
  }

  /** True if the VIP is on a link of the node and in its --allow, and neither node nor cluster objects. */
  mayTake(address: Address): boolean {
    return this.isOpenTo(address) && this.reaches(addressBytes(address)) && this.bar(address) === null;
  }

  /** True if the node is not drained, has not refused the VIP of late, and made no impossible claim to it. */
  isOpenTo(address: Address): boolean {
    if (this.isDrained || this.impossible.has(address)) return false;
    return this.refusalOf(address) === undefined && this.refusals.passed(address) === undefined;
  }

  /** True if the node has refused any VIP of late, or claimed one by an impossible term. */
  get hasObjections(): boolean {
    return !this.refusals.areNone || this.impossible.size > 0;
  }

  /** True if the address is on a link of the node and in its --allow. */
  reaches(address: Uint8Array): boolean {
    return this.#onLink(address) && this.#allow(address);
  }

  refusalOf(address: Address): KeptRefusal | undefined {
    return this.refusals.of('placements', address) ?? this.refusals.of('rules', address);
  }

  /** True if the address is the node's own, also while it is away, or if it hears another host's answer. */
  objectsTo(address: Address): boolean {
    if (this.hasItself(address)) return true;
    return this.isConnected && this.refusals.of('placements', address)?.code === 'AddressConflict';
  }

  /** True if the address is the node's own, by its word. */
  hasItself(address: Address): boolean {
    return isOwn(this.refusals.of('rules', address));
  }

  /** True if everything up to `seq` of the table is in this node's kernel. */
  hasAcked(table: TableName, seq: number): boolean {
    const acked = this.acked[table];
    return acked !== null && acked >= seq;
  }
}
