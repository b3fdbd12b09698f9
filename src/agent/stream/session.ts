// Decides which controller the agent obeys, the ruling one of the highest generation in the agent's cluster,
// and applies its frames.

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
import type { Allowed } from '../addresses/allowed.ts';
import type { Loop } from '../loop.ts';
import { checkTerms, objectionTo } from './generation.ts';
import { type Change, ReceivedTable } from './received-table.ts';
import type { Stream } from './stream.ts';

/** After this many resyncs without a valid `synced` the agent closes the stream. */
const resyncTries = 3;

const clusterRemedy =
  'run "vipward cleanup" on the node to let it join that one, or correct --controller, or its --state';

export interface SessionParts {
  readonly node: string;
  readonly version: string;
  readonly firewall: string;
  readonly allow: Allowed;
  readonly hash: Hash;
  readonly links: () => Pick<Hello, 'onLink' | 'macs'>;
  /** The prefixes and MACs by which the VIPs of this node are reached. */
  readonly ways: () => readonly string[];
  readonly held: () => readonly HeldVip[];
  readonly loop: Loop;
  readonly now: () => number;
  /** A delta came, which is likely to cause a commit. */
  readonly prepare: () => void;
  /** The pinned cluster or the generation changed and has to be saved. */
  readonly onIdentity: (cluster: string | null, generation: number) => void;
  /** Another controller rules, or the same one again, with these features. */
  readonly onRuler: (features: readonly string[]) => void;
  /** A frame changed a table. */
  readonly onChange: (change: Change) => void;
}

export class Session {
  readonly rules: ReceivedTable<'rules'>;
  readonly placements: ReceivedTable<'placements'>;
  cluster: string | null;
  generation: number;
  readonly #parts: SessionParts;
  readonly #synced = new Set<TableName>();
  /** Tables that missed a frame and await a resync. */
  readonly #awaited = new Set<TableName>();
  /** Streams whose hello was answered, and those of them whose controller stood by at that time. */
  readonly #streams = new Set<Stream>();
  readonly #standbys = new Set<Stream>();
  /** The prefixes and MACs of the last hello. */
  #toldWays: ReadonlySet<string> = new Set();
  #ruler: Stream | undefined;
  #tries = 0;
  /** The ruling controller's cluster, pinned once both tables are in. */
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

  /** Why the tables are incomplete, in words; empty if they are complete. */
  get problems(): string[] {
    const why = 'a frame was lost or the digest differs; the agent asks again, and serves what it has';
    return [...this.#awaited].map((table) => `${table}: ${why}`);
  }

  hello(): Hello {
    const { node, version, firewall, allow, links, held } = this.#parts;
    this.#toldWays = new Set(this.#parts.ways());
    return {
      type: 'hello',
      version,
      features: ownFeatures,
      node,
      firewall,
      allow: allow.prefixes,
      ...links(),
      cluster: this.cluster,
      generation: this.generation,
      rules: this.rules.summary,
      placements: this.placements.summary,
      held: held(),
    };
  }

  /** Says hello again if the node has prefixes or MACs that the last hello did not tell. */
  reintroduce(): void {
    const isKnown = this.#parts.ways().every((way) => this.#toldWays.has(way));
    if (!isKnown) this.beginAnew('the prefixes or MACs of the node have changed');
  }

  /** Closes all streams because the last hello is no longer true. */
  beginAnew(why: string): void {
    for (const stream of this.#streams) stream.refuse(`${why}: reconnecting`);
  }

  /** Sends a message to the ruling controller, if there is one. */
  send(message: AgentMessage): void {
    // A sequence number of another stream means nothing on this one.
    if (message.type === 'ack' && !this.#synced.has(message.table)) return;
    this.#ruler?.send(message);
  }

  onClose(stream: Stream): void {
    this.#streams.delete(stream);
    this.#standbys.delete(stream);
    if (this.#ruler !== stream) return;
    this.#ruler = undefined;
    this.#claimAlone();
    // Other ruling controllers were ignored: a new hello tells them the generation that they must exceed.
    for (const other of this.#streams.difference(this.#standbys))
      other.refuse('the controller that the agent obeyed is gone: reconnecting');
  }

  /** Another node may now be given a VIP unheard: those not held yet are probed, as after a start. */
  #claimAlone(): void {
    const first = [...this.placements.resources.keys()];
    this.#parts.loop.enter({ table: 'placements', set: [], remove: [], first, isWhole: true });
  }

  /** Throws FrameError for a message that a controller must not send; the stream is closed with its text. */
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
          checkTerms(message.set, this.generation);
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
        if (message.table === 'placements') checkTerms(message.set, this.generation);
        // The controller sent the delta before it saw the resync request, whose answer includes it.
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
      const why = `this node belongs to ${this.cluster}, the controller to ${cluster}`;
      stream.refuse(`cluster: ${why}; ${clusterRemedy}`, true);
      return;
    }
    const isPromoted = this.#standbys.delete(stream);
    this.#streams.add(stream);
    this.reintroduce();
    if (!ruling) {
      this.#standbys.add(stream);
      return;
    }
    const objection = objectionTo(generation, { obeyed: this.generation });
    if (objection !== undefined) {
      stream.refuse(objection);
      return;
    }
    // This welcome answers the hello of a promotion; the controller now sends what differs from that hello.
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
    // The hello that the controller got while it stood by is out of date.
    if (isPromoted) stream.send(this.hello());
    this.#parts.onRuler(features);
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
      stream.refuse(`${table}: the resources sent do not match their digest`);
      return;
    }
    this.#awaited.add(table);
    this[table].restart();
    stream.send({ type: 'resync', table, have: this[table].summary });
  }
}
