// A cluster as a source of Services: which lists are kept, when they are whole, and which cluster it is.

import { setImmediate as othersTurn, setTimeout as sleep } from 'node:timers/promises';
import { parseServiceKey, type ServiceKey } from '../../../state/service.ts';
import { type Problem, problemAt } from '../../service.ts';
import type { ReadingChanges } from '../catalog.ts';
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
  readonly onReading: (changes: ReadingChanges) => void;
  /** The records of allocations, as they are in the cluster. */
  readonly onRecords: (changes: ObjectChanges<VirtualIpRecord | null>) => void;
  /** These Services were sent by the API server, whether or not that meant anything to us. */
  readonly onSeen: (keys: readonly ServiceKey[]) => void;
  readonly topology: Topology;
  /** A problem came or went. */
  readonly onState: (problems: readonly Problem[]) => void;
}

/** Which lists were read to their end once. */
export interface SyncedLists {
  readonly services: boolean;
  readonly nodes: boolean;
  readonly endpointSlices: boolean;
  readonly virtualIPs: boolean;
}

/** A change of type arrives as DELETED, so what is no LoadBalancer need never be sent. */
const fieldSelector = 'spec.type=LoadBalancer';
const nothing: ReadingChanges = { set: [], remove: [] };
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
        ...{ client, confirm, path, fieldSelector, signal, random },
        cut: (object) => cutService(object, rules, mayOptOut),
        onChange: (changes) => this.#changed(changes),
        onState: () => this.#state(),
      });
    });
    this.#virtualIps = new ListWatch({
      ...{ client, confirm, path: virtualIpsPath, signal, random, cut: sharingCut() },
      onChange: (changes) => input.onRecords(changes),
      onState: () => this.#state(),
    });
  }

  /** The UID of namespace kube-system, which no two clusters share; null until it was read. */
  get cluster(): string | null {
    return this.#input.which.uid;
  }

  /** From Kubernetes 1.30 a status may say that traffic comes with the VIP as its destination. */
  get hasIpMode(): boolean {
    return this.#hasIpMode;
  }

  /** The records can be read: their definition is there, and the right to it. */
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

  /** Every list was read to its end, and it is known which cluster this is. */
  get isComplete(): boolean {
    const { services, nodes, virtualIPs } = this.synced;
    // Endpoints that were not read yet keep their own VIPs waiting, and nothing else.
    return this.cluster !== null && services && nodes && virtualIPs;
  }

  /** Begins; nothing here waits for an API server to be there. */
  start(): void {
    const lists = [...this.#services, this.#virtualIps];
    this.#input.topology.start();
    this.#running = Promise.all([this.#identify(), ...lists.map((list) => list.run())]);
  }

  /** Resolves when everything has ended after the signal was aborted. */
  async ended(): Promise<void> {
    await Promise.all([this.#running, this.#input.topology.ended()]);
  }

  /** What all lists hold is of a time that never was: they are listed anew, and watched from there on. */
  restored(): void {
    for (const list of [...this.#services, this.#virtualIps]) void list.restored();
    this.#input.topology.restored();
  }

  /**
   * Lists everything once more, and resolves when that was done. A watch may be behind, and silent for longer
   * than another controller has gone on writing.
   */
  async catchUp(): Promise<void> {
    const records = this.#virtualIps.listAgain();
    await Promise.all([this.readAgain(), records, this.#input.topology.listAgain()]);
  }

  /** Lists all Services once more. */
  async readAgain(): Promise<void> {
    await Promise.all(this.#services.map((list) => list.listAgain()));
  }

  problems(): Problem[] {
    const problems = this.#services.flatMap(({ path, problem }) => problemAt(path, problem));
    const { problem } = this.#virtualIps;
    const next = 'apply the CRDs by `vipward manifests crds | kubectl apply -f -`';
    const records = problem?.includes(': 404 ') === true ? `${problem}: ${next}` : problem;
    return [
      ...problemAt(identityPath, this.#input.which.problem ?? this.#identityProblem),
      ...problemAt(virtualIpsPath, records),
      ...[...problems, ...this.#input.topology.problems(), ...this.catalog.problems()],
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

  /** A list of nodes or slices is complete, or there is something wrong with it. */
  readonly topologyChanged = (): void => this.#state();

  /** Of many Services each part takes long, and others have their turn in between. */
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
    this.#input.onState(this.problems());
    this.#input.onReading(nothing);
  }
}
