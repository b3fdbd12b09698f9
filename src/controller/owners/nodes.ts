// Every node that has said hello or is named in the records: what it can, what it holds, and what it was
// told.

import type { HeldDelta, HeldVip, Hello, Refusal, TableName } from '../../protocol/messages.ts';
import { type Address, addressBytes, prefixesContainBytes } from '../../state/address.ts';
import type { Term } from '../../state/term.ts';
import type { Placement } from '../../state/virtual-ip.ts';
import type { AgentStream } from '../stream/agent-stream.ts';
import { Table, type TableChanges } from '../stream/table.ts';

export interface Bar {
  readonly reason: 'NoEligibleNode' | 'NoLocalEndpoints';
  readonly message: string;
}

/** What is kept of a refusal: who is affected is known here, and may be a megabyte where an agent lies. */
export type KeptRefusal = Pick<Refusal, 'table' | 'key' | 'code' | 'reason'>;

/** One node. It outlives its connections: an agent that comes back finds its placements. */
export class Node {
  readonly name: string;
  readonly placements: Table<'placements'>;
  /** What the kernel of the node has committed, by table; null until it has said so on this connection. */
  readonly acked: Record<TableName, number | null> = { rules: null, placements: null };
  readonly held: Map<Address, Term> = new Map();
  /** Of these, what it was to let go since, or another node was given. */
  readonly outdone: Set<Address> = new Set();
  /** What the node could not put in force, by `TABLE KEY`. */
  readonly refusals: Map<string, KeptRefusal> = new Map();
  /** VIPs it claimed by a term nobody can have issued: it is not given these. */
  readonly impossible: Set<Address> = new Set();
  isDrained = false;
  /** Its Node was deleted while its agent was here: it is forgotten with the end of its stream. */
  isDeleted = false;
  /** VIPs that it still has, and another node is about to announce. */
  readonly moving: Set<Address> = new Set();
  /** It was waited for to commit rules, in vain, for longer than is usual. */
  isLate = false;
  /** So it was while others had committed them: where one of these may have a VIP, it is not given it. */
  isBehind = false;
  /** Publication to acknowledgement of the last change of the rules. */
  lagMs: number | null = null;
  /** Placements that it was to hear again while it heard none. */
  readonly #unheard: Set<Address> = new Set();
  #stream: AgentStream | null = null;
  #hello: Hello | null = null;
  #allow = prefixesContainBytes([]);
  #onLink = prefixesContainBytes([]);
  #range = '';
  /** Why the cluster wants no VIP, or not this one, on the node. */
  readonly bar: (address: Address) => Bar | null;

  /** `served`: VIPs that some node is known to have held, whose placements are no first claims. */
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

  /** Returns what it held when it was last heard of, and holds no more. */
  connect(hello: Hello, stream: AgentStream): readonly Address[] {
    this.#stream = stream;
    this.#hello = hello;
    this.#allow = prefixesContainBytes(hello.allow);
    this.#onLink = prefixesContainBytes(hello.onLink);
    this.#range = `${hello.onLink} ${hello.allow}`;
    this.acked.rules = null;
    this.acked.placements = null;
    this.lagMs = null;
    this.isLate = false;
    this.isBehind = false;
    this.refusals.clear();
    this.impossible.clear();
    return this.setHeld(hello.held);
  }

  disconnect(): void {
    this.#stream = null;
    this.acked.rules = null;
    this.acked.placements = null;
    this.lagMs = null;
  }

  /** Sends what its placements lack, and from then on each change of them. */
  startPlacements(): void {
    if (this.#hello === null || this.#stream === null) return;
    this.#stream.begin({ placements: this.#hello.placements });
    const again = new Set(this.#unheard);
    this.#unheard.clear();
    this.tell({ set: [...again].flatMap((key) => this.placements.get(key) ?? []), remove: [], again });
  }

  /** Changes its placements, of which it hears now or when it is here again. */
  tell({ set, remove, again }: Required<TableChanges<Placement>>): void {
    for (const change of this.placements.put({ set, remove, again }))
      if (this.#stream?.publish('placements', change) !== true)
        for (const key of change.keys) if (again.has(key)) this.#unheard.add(key);
  }

  /** Returns what it held before, and holds no more. */
  setHeld(vips: readonly HeldVip[]): readonly Address[] {
    return this.changeHeld({ set: vips, remove: [...this.held.keys()] });
  }

  /** Returns what it held before, and holds no more. */
  changeHeld({ set, remove }: Omit<HeldDelta, 'type'>): readonly Address[] {
    const gone = remove.filter((address) => this.held.delete(address));
    for (const address of remove) this.outdone.delete(address);
    for (const { address, term } of set) this.held.set(address, term);
    return gone.filter((address) => !this.held.has(address));
  }

  /**
   * True if the VIP is on a link of this node, its operator lets it be taken, and nothing speaks against it.
   */
  mayTake(address: Address): boolean {
    return this.isOpenTo(address) && this.reaches(addressBytes(address)) && this.bar(address) === null;
  }

  /** True if nothing that this node has said or was told speaks against the VIP. */
  isOpenTo(address: Address): boolean {
    return !this.isDrained && !this.impossible.has(address) && this.refusalOf(address) === undefined;
  }

  /** It has said of some VIPs that it cannot have them, or must not be given them. */
  get hasObjections(): boolean {
    return this.refusals.size > 0 || this.impossible.size > 0;
  }

  /** What is on its links and in its --allow, as a text: nodes that have the same reach the same. */
  get range(): string {
    return this.#range;
  }

  /** True if the address is on a link of this node, and its operator lets it be taken. */
  reaches(address: Uint8Array): boolean {
    return this.#onLink(address) && this.#allow(address);
  }

  refusalOf(address: Address): KeptRefusal | undefined {
    // Asked of many nodes for many VIPs: as a rule there is nothing to look for.
    if (this.refusals.size === 0) return undefined;
    return (
      this.refusals.get(refusalKey('placements', address)) ?? this.refusals.get(refusalKey('rules', address))
    );
  }

  /** It has the address itself, or knows its gateway or name server by it. */
  objectsTo(address: Address): boolean {
    return this.refusalOf(address)?.code === 'AddressConflict';
  }

  /** True if everything up to `seq` of the table is in this node's kernel. */
  hasAcked(table: TableName, seq: number): boolean {
    const acked = this.acked[table];
    return acked !== null && acked >= seq;
  }
}

export function refusalKey(table: TableName, address: Address): string {
  return `${table} ${address}`;
}

const noBar = (): null => null;

export class Nodes {
  /** Why a node may not have a VIP, where the source has a say in that: one function for most of them. */
  bar: (address: Address) => (node: string) => Bar | null = () => noBar;
  /** A node that came owns these by what it says: whether it may have them is to be looked at. */
  claimed: (addresses: readonly Address[]) => void = () => undefined;
  /** The node that a VIP shall have, if it may. */
  preferred: (address: Address) => string | null = () => null;
  /** VIPs that some node holds, or held. */
  readonly served: Set<Address> = new Set();
  readonly #nodes = new Map<string, Node>();

  /** The node of that name, made if it is new. */
  at(name: string): Node {
    const known = this.#nodes.get(name);
    if (known !== undefined) return known;
    const node = new Node(name, (address) => this.bar(address)(name), this.served);
    this.#nodes.set(name, node);
    return node;
  }

  get(name: string): Node | undefined {
    return this.#nodes.get(name);
  }

  all(): MapIterator<Node> {
    return this.#nodes.values();
  }

  *connected(): Generator<Node, void> {
    for (const node of this.#nodes.values()) if (node.isConnected) yield node;
  }

  /** Sends to each node that is here what its placements lack: a step a node. */
  *startPlacements(): Generator<void, void> {
    for (const node of this.connected()) {
      node.startPlacements();
      yield;
    }
  }

  /** The node that a hardware address belongs to, by its last hello. */
  nodeOfMac(mac: string): Node | undefined {
    return this.#nodes.values().find(({ hello }) => hello?.macs?.includes(mac));
  }

  /** A node that has the VIP, as far as is known, or had it when it was last heard of. */
  holderOf(address: Address): Node | undefined {
    return this.#nodes.values().find(({ held }) => held.has(address));
  }

  /** True if a node had the VIP when it was last heard of, and cannot be told anything now. */
  isHeldByAbsent(address: Address): boolean {
    return this.#nodes.values().some((node) => !node.isConnected && node.held.has(address));
  }

  /** A node will not come back: what it had is nobody's. False if it is here all the same, and so far. */
  forget(name: string): boolean {
    const node = this.#nodes.get(name);
    if (node?.isConnected === true) {
      node.isDeleted = true;
      return false;
    }
    this.#nodes.delete(name);
    return true;
  }

  /** There is a Node again of the name of one that was to be forgotten. */
  returned(name: string): void {
    const node = this.#nodes.get(name);
    if (node !== undefined) node.isDeleted = false;
  }
}
