// The sending side of one agent's connection. For each table it keeps the version the agent was brought to
// and the keys that changed since, never a queue. The tables give it frames that all agents share.

import { pageServices, type TableDigest, type TableName } from '../../protocol/messages.ts';
import type { Address } from '../../state/address.ts';
import type { Pages } from './pages.ts';
import type { Change, Table } from './table.ts';

/** The part of a socket that a stream uses. */
export interface Wire {
  send(frame: Buffer): void;
  readonly bufferedAmount: number;
}

/** At this many buffered bytes a stream stops writing to its agent and remembers changes by key alone. */
export const bufferLimitBytes: number = 1024 * 1024;

interface Lane {
  readonly table: Table<TableName>;
  /** The version the agent has been brought to, null before its first `synced`. */
  sentSeq: number | null;
  readonly dirty: Set<Address>;
  sending: { readonly pages: Pages; readonly synced: Buffer; next: number } | null;
  /** The digest of a resync that arrived while pages were being sent; answered after the last page. */
  asked: TableDigest | null;
}

/** The sending side of one connection. */
export class AgentStream {
  readonly wire: Wire;
  readonly #rules: Lane;
  readonly #placements: Lane;

  constructor(wire: Wire, rules: Table<'rules'>, placements: Table<'placements'>) {
    this.wire = wire;
    this.#rules = laneOf(rules);
    this.#placements = laneOf(placements);
  }

  /**
   * Starts each table that has not begun, from the agent's digest of it. Rules come first: an address needs
   * its filter.
   */
  begin(have: { readonly [Name in TableName]?: TableDigest }): void {
    for (const lane of [this.#rules, this.#placements]) {
      const digest = have[lane.table.name];
      if (digest !== undefined && !hasBegun(lane)) start(lane, lane.table.differing(digest));
    }
    this.pump();
  }

  /** The agent saw a gap or a wrong digest in one table. */
  resync(name: TableName, have: TableDigest): void {
    const lane = this.#lane(name);
    // Pages of two snapshots must not mix: the agent would keep entries that were removed between them.
    if (lane.sending === null) answer(lane, have);
    else lane.asked = have;
    this.pump();
  }

  /**
   * Sends a table's change at once if the agent is up to date and the buffer has room, else remembers its
   * keys. A table that has not begun will be sent whole.
   */
  publish(name: TableName, change: Change): void {
    const lane = this.#lane(name);
    if (!hasBegun(lane)) return;
    const isUpToDate = lane.sending === null && lane.sentSeq === change.from;
    if (isUpToDate && this.#mayFlow(lane) && this.wire.bufferedAmount < bufferLimitBytes) {
      this.wire.send(change.frame);
      lane.sentSeq = change.to;
      return;
    }
    for (const key of change.keys) lane.dirty.add(key);
    this.pump();
  }

  /**
   * Writes due frames until bufferLimitBytes are buffered. The connection calls it again when a frame has
   * left.
   */
  pump(): void {
    for (const lane of [this.#rules, this.#placements]) {
      while (this.#mayFlow(lane) && this.wire.bufferedAmount < bufferLimitBytes) {
        if (!advance(lane, this.wire)) break;
      }
    }
  }

  /** The version of a table that was sent last; null before the first. */
  sentSeq(name: TableName): number | null {
    return this.#lane(name).sentSeq;
  }

  #lane(name: TableName): Lane {
    return name === 'rules' ? this.#rules : this.#placements;
  }

  /** Placements wait until every rule has been sent: the agent applies them in the order of the wire. */
  #mayFlow(lane: Lane): boolean {
    return lane === this.#rules || (this.#rules.sending === null && this.#rules.sentSeq !== null);
  }
}

function laneOf(table: Table<TableName>): Lane {
  return { table, sentSeq: null, dirty: new Set(), sending: null, asked: null };
}

function hasBegun({ sentSeq, sending }: Lane): boolean {
  return sentSeq !== null || sending !== null;
}

function start(lane: Lane, buckets: readonly number[]): void {
  const pages = lane.table.snapshot([...new Set(buckets)].sort((a, b) => a - b));
  lane.asked = null;
  lane.sending = { pages, synced: lane.table.synced(), next: 0 };
}

/**
 * Sends the buckets that differ from the agent's digest, and those of its dirty keys: frames in flight when
 * the agent asked may already have outdated that digest. A delta of the dirty keys follows, since pages
 * repeat no placement.
 */
function answer(lane: Lane, have: TableDigest): void {
  start(lane, [...lane.table.differing(have), ...bucketsOf(lane)]);
}

function bucketsOf({ table, dirty }: Lane): number[] {
  return [...dirty].map((key) => table.bucketOf(key));
}

/** Sends one frame of a lane; false if none is due. */
function advance(lane: Lane, wire: Wire): boolean {
  const { table, sending, dirty } = lane;
  if (sending !== null) {
    const page = sending.pages.page(sending.next++);
    wire.send(page ?? sending.synced);
    if (page === undefined) {
      lane.sentSeq = sending.pages.seq;
      lane.sending = null;
      if (lane.asked !== null) answer(lane, lane.asked);
    }
    return true;
  }
  if (dirty.size === 0 || lane.sentSeq === null) return false;
  // Agents share pages of rules. Pages of placements would neither repeat nor silence any.
  if (table.name === 'rules' && table.isLarge(dirty)) {
    start(lane, bucketsOf(lane));
    dirty.clear();
    return true;
  }
  const keys = [...dirty.values().take(pageServices)];
  for (const key of keys) dirty.delete(key);
  const from = lane.sentSeq;
  if (dirty.size === 0) lane.sentSeq = table.seq;
  wire.send(table.delta({ from, to: lane.sentSeq }, keys));
  return true;
}
