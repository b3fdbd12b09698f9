// A cluster as a source of Services: keeps the lists, says when they are complete, and which cluster it is.

import { setImmediate as othersTurn, setTimeout as sleep } from 'node:timers/promises';
import { parseServiceKey, type ServiceKey } from '../../../state/service.ts';
import { type Problem, problemAt, type ServiceChanges } from '../../service.ts';
import { mapping } from '../fields.ts';
import type { ManifestRules } from '../manifest.ts';
import { backoffMs } from './backoff.ts';
import type { ApiClient } from './client.ts';
import { ListWatch, type ObjectChanges } from './list-watch.ts';
import { cutService, type ServiceEntry, ServiceObjects } from './service-objects.ts';
import type { Topology } from './topology.ts';
import { sharingCut, type VirtualIpRecord, virtualIpsPath } from './virtual-ip.ts';
import { identityPath, type WhichCluster } from './which-cluster.ts';

export interface KubernetesSourceInput {
  readonly client: ApiClient;
  readonly which: WhichCluster;
  /** Empty: Services of all namespaces. */
  readonly namespaces: readonly string[];
  readonly rules: ManifestRules;
  readonly mayOptOut: (namespace: string) => boolean;
  readonly signal: AbortSignal;
  readonly random: () => number;
  /** Something changed, or a list became complete. */
  readonly onReading: (changes: ServiceChanges) => void;
  /** Takes changes of the records of allocations. */
  readonly onRecords: (changes: ObjectChanges<VirtualIpRecord | null>) => void;
  /** The API server sent these Services, whether or not they changed for us. */
  readonly onSeen: (keys: readonly ServiceKey[]) => void;
  readonly topology: Topology;
  /** A problem of a list may have come or gone. */
  readonly onState: (problems: readonly Problem[]) => void;
}

/** Which lists have been read to their end once. */
export interface SyncedLists {
  readonly services: boolean;
  readonly nodes: boolean;
  readonly endpointSlices: boolean;
  readonly virtualIPs: boolean;
}

/** A change of type arrives as DELETED, so only Services of type LoadBalancer need be sent. */
const fieldSelector = 'spec.type=LoadBalancer';
const nothing: ServiceChanges = { set: [], remove: [] };
const atOnceServices = 1000;

export class KubernetesSource {
  readonly catalog: ServiceObjects = new ServiceObjects();
  readonly #input: KubernetesSourceInput;
  readonly #services: readonly ListWatch<ServiceEntry>[];
  readonly #virtualIps: ListWatch<VirtualIpRecord | null>;
  #hasIpMode = false;
  #identityProblem: string | null = null;
  #running: Promise<unknown> = Promise.resolve();

  constructor(input: KubernetesSourceInput) {
    this.#input = input;
    const { client, which, namespaces, rules, mayOptOut, signal, random } = input;
    const confirm = (signal: AbortSignal) => which.confirm(client, { signal });
    const paths = namespaces.map((namespace) => `/api/v1/namespaces/${namespace}/services`);
    this.#services = (paths.length > 0 ? paths : ['/api/v1/services']).map((path) => {
      return new ListWatch({
        client,
        confirm,
        path,
        fieldSelector,
        signal,
        random,
        cut: (object) => cutService(object, rules, mayOptOut),
        onChange: (changes) => this.#changed(changes),
        onState: () => this.#state(),
      });
    });
    this.#virtualIps = new ListWatch({
      client,
      confirm,
      path: virtualIpsPath,
      signal,
      random,
      cut: sharingCut(),
      onChange: (changes) => input.onRecords(changes),
      onState: () => this.#state(),
    });
  }

  /** The UID of namespace kube-system, which no two clusters share; null until it is read. */
  get cluster(): string | null {
    return this.#input.which.uid;
  }

  /** From Kubernetes 1.30 a status may say that traffic arrives with the VIP as its destination. */
  get hasIpMode(): boolean {
    return this.#hasIpMode;
  }

  /** The records can be read: the CRD is installed, and the controller has the right to read it. */
  get hasRecords(): boolean {
    return this.#virtualIps.problem === null;
  }

  get synced(): SyncedLists {
    return {
      services: this.#services.every(({ isComplete }) => isComplete),
      ...this.#input.topology.synced,
      virtualIPs: this.#virtualIps.isComplete,
    };
  }

  /** Every list was read to its end, and the cluster is known. */
  get isComplete(): boolean {
    const { services, nodes, virtualIPs } = this.synced;
    // Unread endpoints keep only the VIPs of their own Services waiting.
    return this.cluster !== null && services && nodes && virtualIPs;
  }

  /** Starts the lists; waits for no API server. */
  start(): void {
    const lists = [...this.#services, this.#virtualIps];
    this.#input.topology.start();
    this.#running = Promise.all([this.#identify(), ...lists.map((list) => list.run())]);
  }

  /** Resolves when everything has ended after the signal was aborted. */
  async ended(): Promise<void> {
    await Promise.all([this.#running, this.#input.topology.ended()]);
  }

  /** etcd was restored: the lists may hold a state that no longer exists, so all are read again. */
  restored(): void {
    for (const list of [...this.#services, this.#virtualIps]) void list.restored();
    this.#input.topology.restored();
  }

  /**
   * Lists everything again, and resolves when that is done. A watch may be behind, without a word, for longer
   * than another controller has gone on writing.
   */
  async catchUp(): Promise<void> {
    const records = this.#virtualIps.listAgain();
    await Promise.all([this.readAgain(), records, this.#input.topology.listAgain()]);
  }

  /** Lists all Services again. */
  async readAgain(): Promise<void> {
    await Promise.all(this.#services.map((list) => list.listAgain()));
  }

  problems(): Problem[] {
    return [...this.#listProblems(), ...this.catalog.problems()];
  }

  /** What keeps the cluster from being read; Events tell of Services. */
  #listProblems(): Problem[] {
    const services = this.#services.flatMap(({ path, problem }) => problemAt(path, problem));
    const { problem } = this.#virtualIps;
    const next = 'apply the CRDs by `vipward manifests crds | kubectl apply -f -`';
    const records = problem?.includes(': 404 ') === true ? `${problem}: ${next}` : problem;
    return [
      ...problemAt(identityPath, this.#input.which.problem ?? this.#identityProblem),
      ...problemAt(virtualIpsPath, records),
      ...services,
      ...this.#input.topology.problems(),
    ];
  }

  async #identify(): Promise<void> {
    const { client, which, signal, random, onReading } = this.#input;
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        const { major, minor } = mapping(await client.json({ path: '/version', signal }), 'version');
        // Some distributions put a plus behind the minor version.
        this.#hasIpMode = Number(major) > 1 || Number.parseInt(String(minor), 10) >= 30;
        await which.confirm(client, { signal });
        this.#identityProblem = null;
        onReading(nothing);
        return;
      } catch (error) {
        this.#identityProblem = (error as Error).message;
        if (!signal.aborted) this.#state();
      }
      await sleep(backoffMs(failures, random()), undefined, { signal }).catch(() => undefined);
    }
  }

  /** The list of nodes or slices became complete, or its problem changed. */
  readonly topologyChanged = (): void => this.#state();

  /** With many Services each step takes long, so other work has a turn in between. */
  async #changed(changes: ObjectChanges<ServiceEntry>): Promise<void> {
    const isLong = changes.set.size + changes.remove.length > atOnceServices;
    const reading = this.catalog.apply(changes);
    this.#input.topology.needSlices(this.catalog.hasLocal);
    if (isLong) await othersTurn();
    this.#input.onReading(reading);
    if (isLong) await othersTurn();
    this.#input.onSeen([...changes.set.keys(), ...changes.remove].map(parseServiceKey));
  }

  #state(): void {
    this.#input.onState(this.#listProblems());
    this.#input.onReading(nothing);
  }
}
