// Decides which controller the agent obeys, the ruling one of the highest generation in the agent's cluster,
// and applies its frames.

import type { Hash } from '../../protocol/digest.ts';
import {
  type AgentMessage,
  type ControllerMessage,
  type HeldVip,
  type Hello,
  features as ownFeatures,
  type TableName,
  type Tick,
  type Welcome,
} from '../../protocol/messages.ts';
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

/** The controller that the agent obeys. */
interface Ruler {
  readonly stream: Stream;
  /** Pinned once both tables are in. */
  readonly cluster: string;
  readonly synced: Set<TableName>;
  /** Tables that missed a frame and await a resync. */
  readonly awaited: Set<TableName>;
  /** Resyncs since the last valid `synced`. */
  tries: number;
}

export class Session {
  readonly rules: ReceivedTable<'rules'>;
  readonly placements: ReceivedTable<'placements'>;
  cluster: string | null;
  generation: number;
  readonly #parts: SessionParts;
  /** Streams whose hello was answered, each with whether its controller ruled at that time. */
  readonly #streams = new Map<Stream, boolean>();
  /** The prefixes and MACs of the last hello. */
  #toldWays: ReadonlySet<string> = new Set();
  #ruler: Ruler | undefined;

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
    return [...(this.#ruler?.awaited ?? [])].map((table) => `${table}: ${why}`);
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
    for (const stream of this.#streams.keys()) stream.refuse(`${why}: reconnecting`);
  }

  /** Sends a message to the ruling controller, if there is one. */
  send(message: AgentMessage): void {
    // A sequence number of another stream means nothing on this one.
    if (message.type === 'ack' && this.#ruler?.synced.has(message.table) !== true) return;
    this.#ruler?.stream.send(message);
  }

  onClose(stream: Stream): void {
    this.#streams.delete(stream);
    if (this.#ruler?.stream !== stream) return;
    this.#ruler = undefined;
    this.#claimAlone();
    // Other ruling controllers were ignored: a new hello tells them the generation that they must exceed.
    for (const [other, ruling] of this.#streams)
      if (ruling) other.refuse('the controller that the agent obeyed is gone: reconnecting');
  }

  /** Another node may now be given a VIP unheard: those not held yet are probed, as after a start. */
  #claimAlone(): void {
    const first = [...this.placements.resources.keys()];
    this.#parts.loop.enter({ table: 'placements', set: [], remove: [], first, isWhole: true });
  }

  /** Throws FrameError for a message that a controller must not send; the stream is closed with its text. */
  onMessage(stream: Stream, message: ControllerMessage): void {
    if (message.type === 'welcome') this.#welcome(stream, message);
    else if (message.type !== 'tick' && stream === this.#ruler?.stream) this.#state(this.#ruler, message);
  }

  #state(ruler: Ruler, message: Exclude<ControllerMessage, Welcome | Tick>): void {
    const { prepare, now } = this.#parts;
    if (message.type === 'delta') prepare();
    const receivedAtMs = now();
    if (message.type !== 'synced' && message.table === 'placements') checkTerms(message.set, this.generation);
    switch (message.type) {
      case 'page':
        if (message.table === 'rules') this.rules.page(message);
        else this.placements.page(message);
        break;
      case 'synced': {
        const change = this[message.table].synced(message, receivedAtMs);
        if (change === undefined) {
          this.#resync(ruler, message.table);
          break;
        }
        ruler.tries = 0;
        ruler.awaited.delete(message.table);
        ruler.synced.add(message.table);
        this.#apply(change);
        this.#complete(ruler);
        break;
      }
      case 'delta': {
        // The controller sent the delta before it saw the resync request, whose answer includes it.
        if (ruler.awaited.has(message.table)) break;
        const change =
          message.table === 'rules'
            ? this.rules.delta(message, receivedAtMs)
            : this.placements.delta(message, receivedAtMs);
        if (change === undefined) this.#resync(ruler, message.table);
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
    const isPromoted = this.#streams.get(stream) === false;
    this.#streams.set(stream, ruling);
    this.reintroduce();
    if (!ruling) return;
    const objection = objectionTo(generation, { obeyed: this.generation });
    if (objection !== undefined) {
      stream.refuse(objection);
      return;
    }
    // This welcome answers the hello of a promotion; the controller now sends what differs from that hello.
    if (stream === this.#ruler?.stream && generation === this.generation) return;
    this.#ruler = { stream, cluster, synced: new Set(), awaited: new Set(), tries: 0 };
    this.rules.restart();
    this.placements.restart();
    if (generation !== this.generation) {
      this.generation = generation;
      this.#parts.onIdentity(this.cluster, generation);
    }
    // The hello that the controller got while it stood by is out of date.
    if (isPromoted) stream.send(this.hello());
    this.#parts.onRuler(features);
  }

  #apply(change: Change): void {
    this.#parts.onChange(change);
    this.#parts.loop.receive(change);
  }

  /** The first sync of both tables pins the cluster. */
  #complete({ synced, cluster }: Ruler): void {
    if (synced.size < 2) return;
    if (this.cluster === null) {
      this.cluster = cluster;
      this.#parts.onIdentity(this.cluster, this.generation);
    }
    this.#parts.loop.synced();
  }

  #resync(ruler: Ruler, table: TableName): void {
    if (++ruler.tries > resyncTries) {
      ruler.stream.refuse(`${table}: the resources sent do not match their digest`);
      return;
    }
    ruler.awaited.add(table);
    this[table].restart();
    ruler.stream.send({ type: 'resync', table, have: this[table].summary });
  }
}
