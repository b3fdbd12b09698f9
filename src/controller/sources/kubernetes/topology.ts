// Says where the cluster lets VIPs be: watches its Nodes, and the EndpointSlices while a Service has traffic
// policy Local.

import type { Family } from '../../../state/address.ts';
import type { ServiceKey } from '../../../state/service.ts';
import { type Problem, problemAt } from '../../service.ts';
import type { ApiClient } from './client.ts';
import { cutSlice, Endpoints, endpointSlicesPath, type SliceEntry } from './endpoints.ts';
import { ListWatch, type ObjectChanges } from './list-watch.ts';
import { cutNode, type NodeEntry, nodesPath } from './node-facts.ts';

export interface TopologyInput {
  readonly client: ApiClient;
  /** Rejects if the API server belongs to another cluster than before. */
  readonly confirm?: (signal: AbortSignal) => Promise<void>;
  readonly ignoresExclude: boolean;
  readonly signal: AbortSignal;
  readonly random: () => number;
  /** Called with all nodes that may have no VIP, and why, when they changed. */
  readonly onNodes: (barred: ReadonlyMap<string, string>) => void;
  readonly onDeleted: (name: string) => void;
  /** A Node exists again under the name of a deleted one. */
  readonly onReturned: (name: string) => void;
  /** The endpoints of these Services changed; null: of all Services. */
  readonly onEndpoints: (services: ReadonlySet<ServiceKey> | null) => void;
  readonly onState: () => void;
}

/** How long slices are still watched after the last Service with policy Local. */
const idleMs = 60_000;
/** Deleted Nodes that are remembered: the agent of an older one is gone with it. */
export const mostDeleted = 1000;

export class Topology {
  readonly #nodes: ListWatch<NodeEntry>;
  readonly #input: TopologyInput;
  /** Null while no Service has policy Local. */
  #slices: ListWatch<SliceEntry | null> | null = null;
  #endpoints = new Endpoints();
  #endSlices = new AbortController();
  #idle: NodeJS.Timeout | undefined;
  readonly #barred = new Map<string, string>();
  /** The deleted nodes among them, the oldest first. */
  readonly #deleted = new Set<string>();
  /** False while `barred` has changes that onNodes has not been given. */
  #isTold = true;
  /** The slices were listed since the last doubt about them. */
  #areSlicesKnown = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(input: TopologyInput) {
    this.#input = input;
    const { client, confirm, ignoresExclude, signal, random, onState } = input;
    this.#nodes = new ListWatch({
      ...(confirm && { confirm }),
      client,
      path: nodesPath,
      signal,
      random,
      onState,
      cut: (object) => cutNode(object, { ignoresExclude }),
      onChange: (changes) => this.#nodesChanged(changes),
    });
  }

  /** Which lists were read to their end, or need not be read. */
  get synced(): { readonly nodes: boolean; readonly endpointSlices: boolean } {
    const endpointSlices = this.#slices?.isComplete ?? true;
    return { nodes: this.#nodes.isComplete, endpointSlices };
  }

  /** The Nodes, by name. */
  get nodes(): Pick<ReadonlyMap<string, unknown>, 'size' | 'has'> {
    return this.#nodes.objects;
  }

  listNodesAgain(): Promise<void> {
    return this.#nodes.listAgain();
  }

  /** Lists all again, and resolves when the Nodes are listed. Endpoints are unknown until the slices are. */
  listAgain(): Promise<void> {
    this.#areSlicesKnown = false;
    void this.#slices?.listAgain();
    return this.listNodesAgain();
  }

  start(): void {
    this.#running = this.#nodes.run();
  }

  /** Starts the watch of slices if a Service has policy Local, else ends it after idleMs. */
  needSlices(isNeeded: boolean): void {
    if (!isNeeded) {
      if (this.#slices !== null) this.#idle ??= setTimeout(() => this.#forgetSlices(), idleMs).unref();
      return;
    }
    clearTimeout(this.#idle);
    this.#idle = undefined;
    if (this.#slices === null) this.#watchSlices();
  }

  /** etcd was restored: the lists may hold a state that no longer exists, so all are read again. */
  restored(): void {
    void this.#nodes.restored();
    void this.#slices?.restored();
  }

  /** The nodes with a serving endpoint of the Service; null while that is unknown. */
  nodesOf(key: ServiceKey, family: Family): ReadonlySet<string> | null {
    return this.#areSlicesKnown ? this.#endpoints.nodesOf(key, family) : null;
  }

  problems(): Problem[] {
    const lists = this.#slices === null ? [this.#nodes] : [this.#nodes, this.#slices];
    return lists.flatMap(({ path, problem }) => problemAt(path, problem));
  }

  /** Resolves when everything has ended after the signal was aborted. */
  async ended(): Promise<void> {
    await this.#running;
  }

  #watchSlices(): void {
    const { client, confirm, random, onState, onEndpoints } = this.#input;
    this.#endSlices = new AbortController();
    const signal = AbortSignal.any([this.#input.signal, this.#endSlices.signal]);
    this.#slices = new ListWatch({
      ...(confirm && { confirm }),
      client,
      path: endpointSlicesPath,
      signal,
      random,
      cut: cutSlice,
      onState,
      onChange: (changes) => {
        const touched = this.#endpoints.apply(changes);
        const wereKnown = this.#areSlicesKnown;
        this.#areSlicesKnown = true;
        // The first list also settles the Services that have no slice at all.
        onEndpoints(wereKnown ? touched : null);
      },
    });
    this.#running = Promise.all([this.#running, this.#slices.run()]);
  }

  #forgetSlices(): void {
    this.#idle = undefined;
    this.#endSlices.abort();
    this.#slices = null;
    this.#endpoints = new Endpoints();
    this.#areSlicesKnown = false;
  }

  #nodesChanged({ set, remove }: ObjectChanges<NodeEntry>): void {
    for (const name of remove) {
      this.#bar(name, 'its Node was deleted');
      this.#deleted.add(name);
      this.#input.onDeleted(name);
    }
    for (const [name, why] of set) {
      if (this.#deleted.delete(name)) this.#input.onReturned(name);
      this.#bar(name, why);
    }
    this.#forgetOldest();
    // The API server sends a Node at each heartbeat of its kubelet, mostly with no change that matters here.
    if (this.#isTold) return;
    this.#isTold = true;
    this.#input.onNodes(this.#barred);
  }

  #bar(name: string, why: NodeEntry): void {
    if ((this.#barred.get(name) ?? null) === why) return;
    this.#isTold = false;
    if (why === null) this.#barred.delete(name);
    else this.#barred.set(name, why);
  }

  /** In a cluster that replaces nodes by the hour, deleted nodes soon outnumber the present ones. */
  #forgetOldest(): void {
    for (const name of this.#deleted) {
      if (this.#deleted.size <= mostDeleted) return;
      this.#deleted.delete(name);
      this.#bar(name, null);
    }
  }
}
