// Which controller is obeyed, and what its frames mean: the ruling one of the highest generation, of the one
// cluster.

import type { Hash } from '../../protocol/digest.ts';
import type {
  AgentMessage,
  ControllerMessage,
  HeldVip,
  Hello,
  TableName,
  Tick,
  Welcome,
} from '../../protocol/messages.ts';
import { features as ownFeatures } from '../../protocol/messages.ts';
import { FrameError } from '../../protocol/shape.ts';
import { generationLeap } from '../../state/term.ts';
import type { Placement } from '../../state/virtual-ip.ts';
import type { Allowed } from '../addresses/allowed.ts';
import type { Loop } from '../loop.ts';
import { type Change, ReceivedTable } from './received-table.ts';
import type { Stream } from './stream.ts';

/** After as many pages that did not add up to what was announced, the stream is begun anew. */
const resyncTries = 3;

export interface SessionParts {
  readonly node: string;
  readonly version: string;
  readonly firewall: string;
  readonly allow: Allowed;
  readonly hash: Hash;
  readonly links: () => Pick<Hello, 'onLink' | 'macs'>;
  /** Of both, what the VIPs of this node go by. */
  readonly ways: () => readonly string[];
  readonly held: () => readonly HeldVip[];
  readonly loop: Loop;
  readonly now: () => number;
  /** A change has come that is likely to be a commit. */
  readonly prepare: () => void;
  /** The pin or the generation changed and has to be kept. */
  readonly onIdentity: (cluster: string | null, generation: number) => void;
  /** Another stream rules, or the same one anew: what its controller can do. */
  readonly onRuler: (features: readonly string[]) => void;
  /** Something of a table changed, as received. */
  readonly onChange: (change: Change) => void;
}

export class Session {
  readonly rules: ReceivedTable<'rules'>;
  readonly placements: ReceivedTable<'placements'>;
  cluster: string | null;
  generation: number;
  readonly #parts: SessionParts;
  readonly #synced = new Set<TableName>();
  /** Tables of which a frame was missing, and that have been asked for. */
  readonly #awaited = new Set<TableName>();
  /** Streams whose hello was answered, and those of them whose controller stood by when it answered. */
  readonly #streams = new Set<Stream>();
  readonly #standbys = new Set<Stream>();
  /** The prefixes that the last hello told of. */
  #toldWays: ReadonlySet<string> = new Set();
  #ruler: Stream | undefined;
  #tries = 0;
  /** The ruling controller's cluster, to be pinned when both tables are in. */
  #pendingCluster: string | null = null;

  constructor(parts: SessionParts, identity: { cluster: string | null; generation: number }) {
    this.#parts = parts;
    this.rules = new ReceivedTable('rules', parts.hash);
    this.placements = new ReceivedTable('placements', parts.hash);
    this.cluster = identity.cluster;
    this.generation = identity.generation;
  }

  /** Connected to a controller that rules. */
  get ruled(): boolean {
    return this.#ruler !== undefined;
  }

  /** What keeps the tables from being whole, in words; empty if nothing does. */
  get problems(): string[] {
    const why = 'a frame was missing or did not add up; asked for what differs, serving what is known';
    return [...this.#awaited].map((table) => `${table}: ${why}`);
  }

  hello(): Hello {
    const { node, version, firewall, allow, links, held } = this.#parts;
    this.#toldWays = new Set(this.#parts.ways());
    return {
      type: 'hello',
      ...{ version, features: ownFeatures, node, firewall, allow: allow.prefixes },
      ...links(),
      cluster: this.cluster,
      generation: this.generation,
      rules: this.rules.summary,
      placements: this.placements.summary,
      held: held(),
    };
  }

  /** A node that has more prefixes or other hardware addresses than it told of says hello anew. */
  reintroduce(): void {
    const isKnown = this.#parts.ways().every((way) => this.#toldWays.has(way));
    if (!isKnown) this.beginAnew('the links of the node have other addresses');
  }

  /** What the last hello told is true no more. */
  beginAnew(why: string): void {
    for (const stream of this.#streams) stream.refuse(`${why}: hello anew`);
  }

  /** Says something to the controller that rules, if one does. */
  send(message: AgentMessage): void {
    // What was received on another stream is no number of this one's.
    if (message.type === 'ack' && !this.#synced.has(message.table)) return;
    this.#ruler?.send(message);
  }

  onClose(stream: Stream): void {
    this.#streams.delete(stream);
    this.#standbys.delete(stream);
    if (this.#ruler !== stream) return;
    this.#ruler = undefined;
    // Others that rule were passed over: a new hello tells them of the generation that they must be above.
    for (const other of this.#streams.difference(this.#standbys))
      other.refuse('the controller that was obeyed is gone: hello anew');
  }

  /** Throws FrameError for what a controller must not say; the stream is then closed with its message. */
  onMessage(stream: Stream, message: ControllerMessage): void {
    if (message.type === 'welcome') this.#welcome(stream, message);
    else if (message.type !== 'tick' && stream === this.#ruler) this.#state(stream, message);
  }

  #state(stream: Stream, message: Exclude<ControllerMessage, Welcome | Tick>): void {
    const { prepare, now } = this.#parts;
    if (message.type === 'delta') prepare();
    const receivedAtMs = now();
    switch (message.type) {
      case 'page':
        if (message.table === 'rules') this.rules.page(message);
        else {
          this.#checkTerms(message.set);
          this.placements.page(message);
        }
        break;
      case 'synced': {
        const change = this[message.table].synced(message, receivedAtMs);
        if (change === undefined) {
          this.#resync(stream, message.table);
          break;
        }
        this.#tries = 0;
        this.#awaited.delete(message.table);
        this.#synced.add(message.table);
        this.#apply(change);
        this.#complete();
        break;
      }
      case 'delta': {
        if (message.table === 'placements') this.#checkTerms(message.set);
        // It was on its way when its table was asked for, and is in what will be sent.
        if (this.#awaited.has(message.table)) break;
        const change =
          message.table === 'rules'
            ? this.rules.delta(message, receivedAtMs)
            : this.placements.delta(message, receivedAtMs);
        if (change === undefined) this.#resync(stream, message.table);
        else this.#apply(change);
        break;
      }
      default:
        message satisfies never;
    }
  }

  #welcome(stream: Stream, { cluster, features, generation, ruling }: Welcome): void {
    if (this.cluster !== null && cluster !== this.cluster) {
      const remedy = 'run "vipward cleanup" on the node to let it join another';
      stream.refuse(`cluster: this node belongs to ${this.cluster}, the controller to ${cluster}; ${remedy}`);
      return;
    }
    const isPromoted = this.#standbys.delete(stream);
    this.#streams.add(stream);
    this.reintroduce();
    if (!ruling) {
      this.#standbys.add(stream);
      return;
    }
    if (generation < this.generation) {
      stream.refuse(`generation: ${generation} is older than ${this.generation}, which this node has obeyed`);
      return;
    }
    if (generation > this.generation + generationLeap) {
      const why = `ImpossibleTerm: ${generation}, and this node has obeyed ${this.generation}`;
      stream.refuse(`generation: ${why}; look at the controller's --state`);
      return;
    }
    // It has heard our hello, and begins to send what differs from that.
    if (stream === this.#ruler && generation === this.generation) return;
    this.#ruler = stream;
    this.rules.restart();
    this.placements.restart();
    this.#synced.clear();
    this.#awaited.clear();
    if (generation !== this.generation) {
      this.generation = generation;
      this.#parts.onIdentity(this.cluster, generation);
    }
    this.#pendingCluster = cluster;
    // What it was told while it stood by is long over.
    if (isPromoted) stream.send(this.hello());
    this.#parts.onRuler(features);
  }

  /** A controller places by its own generation and by those before it. Throws FrameError. */
  #checkTerms(placements: readonly Placement[]): void {
    for (const [index, { term }] of placements.entries()) {
      if (term.generation <= this.generation) continue;
      const got = `${term.generation} is above the controller's own, ${this.generation}`;
      throw new FrameError(`set[${index}].term.generation: ImpossibleTerm: ${got}`);
    }
  }

  #apply(change: Change): void {
    this.#parts.onChange(change);
    this.#parts.loop.receive(change);
  }

  /** The first sync of both tables pins the cluster. */
  #complete(): void {
    if (this.#synced.size < 2) return;
    if (this.cluster === null) {
      this.cluster = this.#pendingCluster;
      this.#parts.onIdentity(this.cluster, this.generation);
    }
    this.#parts.loop.synced();
  }

  #resync(stream: Stream, table: TableName): void {
    if (++this.#tries > resyncTries) {
      stream.refuse(`${table}: what was sent does not add up to its digest`);
      return;
    }
    this.#awaited.add(table);
    this[table].restart();
    stream.send({ type: 'resync', table, have: this[table].summary });
  }
}
