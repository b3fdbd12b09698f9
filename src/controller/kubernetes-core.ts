// What a controller is without its server, in a cluster: Services from the API server, the generation from
// the Lease, and no file. core.ts has the same for files.

import type { Address } from '../state/address.ts';
import type { ControllerConfig } from './config.ts';
import { Controller } from './controller.ts';
import { type Core, type CoreInput, makeReadings, nowMs } from './core.ts';
import type { Readings } from './readings.ts';
import type { Records } from './records.ts';
import type { Problem, ServiceManifest } from './service.ts';
import type { ReadingChanges } from './sources/catalog.ts';
import { findAccess } from './sources/kubernetes/access.ts';
import { ApiClient } from './sources/kubernetes/client.ts';
import type { KubernetesConfig } from './sources/kubernetes/config.ts';
import { Credentials } from './sources/kubernetes/credentials.ts';
import { Elector } from './sources/kubernetes/elector.ts';
import { Publisher } from './sources/kubernetes/publisher.ts';
import { Recorder } from './sources/kubernetes/recorder.ts';
import { KubernetesSource } from './sources/kubernetes/source.ts';
import { allocationsOf, ownersOf } from './sources/kubernetes/virtual-ip.ts';
import { Writes } from './sources/kubernetes/writes.ts';
import { type ClusterRole, type Status, statusOf } from './status.ts';

/** Another process rules: this one has no state that could be trusted any more, and ends. */
export class DeposedError extends Error {
  readonly code = 'Deposed';
}

const noRecords: Records = {
  cluster: '',
  generation: 0,
  allocations: new Map(),
  former: new Map(),
  owners: new Map(),
  drained: [],
};

/** Throws UsageError if no API server is known. */
export function makeKubernetesCore(
  config: ControllerConfig,
  given: KubernetesConfig,
  input: CoreInput,
): Core {
  const { log, signal, env, version } = input;
  const { pools, filterByDefault } = config;
  const access = findAccess({ kubeconfig: given.kubeconfig, context: given.context, env });
  const client = () => new ApiClient(access, new Credentials(access, env), `vipward/${version}`);
  const [reader, writer, keeper] = [client(), client(), client()];
  const onChange = () => elector.raise(controller.generation);
  const onTouched = (addresses: ReadonlySet<Address>) => publisher.touched(addresses);
  const controller = new Controller({
    ...{ records: noRecords, pools, filterByDefault, onChange, onTouched, nowMs },
    mayRaise: () => elector.rules(),
  });
  const source = new KubernetesSource({
    ...{ client: reader, signal, random: Math.random, namespaces: given.watchNamespaces },
    rules: {
      ...{ classes: given.classes, takesUnclassed: given.takesUnclassed },
      ...{ delivery: 'forward', readsStatus: true },
    },
    onReading: (changes) => gate.follow(changes),
    onRecords: (changes) => recorder.changed(changes),
    onSeen: (keys) => publisher.seen(keys),
    onState: (problems) => log.warn({ problems: problems.map(({ message }) => message) }, 'sourceState'),
  });
  const readAgain = () => source.readAgain();
  const readings = makeReadings({ controller, truth: source.catalog, readAgain }, config, input);
  const gate = new Gate({
    controller,
    source,
    readings,
    remembered: () => ({
      allocations: allocationsOf(recorder.records),
      owners: ownersOf(recorder.records),
    }),
    mayRule: () => elector.rules(),
  });
  const writes = new Writes({
    ...{ signal, random: Math.random, mayWrite: () => elector.rules() },
    onRefused: (kind, key, { message: reason }) => log.warn({ kind, key, reason }, 'writeRefused'),
  });
  const { catalog } = source;
  const hasIpMode = () => source.hasIpMode;
  const publisher = new Publisher({
    ...{ controller, catalog, client: writer, writes, signal, hasIpMode },
    onStanding: (addresses) => recorder.touched(addresses),
  });
  const recorder = new Recorder({
    controller,
    client: writer,
    writes,
    signal,
    pools: () => controller.pools,
  });
  const elector = makeElector({ given, namespace: access.namespace, client: keeper, gate, writes, input });
  const status = () => statusIn({ controller, source, readings, elector, writes, given });
  let running: Promise<void> = Promise.resolve();
  const start = async () => {
    log.info({ server: reader.server, identity: given.identity }, 'reading');
    source.start();
    running = elector.run();
  };
  const end = async () => {
    await Promise.all([running, source.ended()]);
    for (const used of [reader, writer, keeper]) used[Symbol.dispose]();
  };
  const progressed = () => publisher.progressed();
  const isOpen = () => source.isComplete || readings.wasReadWhole;
  const self = () => selfOf({ controller, source, readings, elector });
  return { controller, readings, status, progressed, isOpen, self, start, end };
}

interface GateInput {
  readonly controller: Controller;
  readonly source: KubernetesSource;
  readonly readings: Readings;
  /** What was given to whom, and who had it, by the records; asked once they were all read. */
  readonly remembered: () => Pick<Records, 'allocations' | 'owners'>;
  readonly mayRule: () => boolean;
}

/** Lets changes through while this process rules, and afterwards whatever was missed as one change. */
class Gate {
  readonly #input: GateInput;
  #generation: number | null = null;
  #isBehind = false;

  constructor(input: GateInput) {
    this.#input = input;
  }

  /** This process rules now, by that generation. */
  open(generation: number): void {
    this.#generation = generation;
    this.follow({ set: [], remove: [] });
  }

  follow(changes: ReadingChanges): void {
    const { controller, source, readings, mayRule } = this.#input;
    if (this.#generation === null || source.cluster === null || !mayRule()) {
      this.#isBehind = true;
      return;
    }
    if (!source.isComplete && !controller.isPublished) {
      this.#isBehind = true;
      return;
    }
    const { cluster } = source;
    if (controller.cluster === '')
      controller.rule({ cluster, generation: this.#generation, ...this.#input.remembered() });
    const all = this.#isBehind ? missed(controller, source) : changes;
    this.#isBehind = false;
    readings.follow(all, source.isComplete);
  }
}

/** Everything in which the controller differs from the cluster. */
function missed({ allocator }: Controller, { catalog }: KubernetesSource): ReadingChanges {
  const isNew = (service: ServiceManifest) => allocator.services.get(service.key) !== service;
  return {
    set: [...catalog.services.values()].filter(isNew),
    remove: [...allocator.services.keys()].filter((key) => !catalog.services.has(key)),
  };
}

interface ElectorParts {
  readonly given: KubernetesConfig;
  readonly namespace: string | null;
  readonly client: ApiClient;
  readonly gate: Gate;
  readonly writes: Writes;
  readonly input: CoreInput;
}

function makeElector({ given, namespace, client, gate, writes, input }: ElectorParts): Elector {
  const { log, signal, onFatal } = input;
  return new Elector({
    ...{ client, signal, random: Math.random, identity: given.identity, address: given.advertise },
    ...given.lease,
    namespace: given.namespace ?? namespace ?? 'vipward-system',
    onRule: (generation) => {
      log.info({ generation }, 'ruling');
      gate.open(generation);
    },
    onResume: () => {
      gate.follow({ set: [], remove: [] });
      writes.wake();
    },
    onDeposed: () => onFatal(new DeposedError('another controller holds the Lease: start again to stand by')),
    onProblem: (reason) => log.warn({ reason }, reason === null ? 'leaseRenewed' : 'leaseNotRenewed'),
  });
}

/** A standby is known by its cluster, and by the generation of the one that rules as far as it has heard. */
function selfOf({
  controller,
  source,
  readings,
  elector,
}: Omit<StatusParts, 'given' | 'writes'>): ReturnType<Core['self']> {
  const { wasReadWhole: ruling } = readings;
  const { cluster, generation } = ruling
    ? controller
    : { cluster: source.cluster ?? '', generation: elector.record?.generation ?? 0 };
  return { cluster, generation, ruling };
}

interface StatusParts {
  readonly controller: Controller;
  readonly source: KubernetesSource;
  readonly readings: Readings;
  readonly elector: Elector;
  readonly writes: Writes;
  readonly given: KubernetesConfig;
}

function statusIn({ controller, source, readings, elector, writes, given }: StatusParts): Status {
  const { catalog } = source;
  const { record } = elector;
  const isActive = elector.rules();
  const role: ClusterRole = {
    role: isActive ? 'active' : 'standby',
    identity: given.identity,
    leader:
      record === null || record.holder === '' ? null : { identity: record.holder, address: record.address },
    synced: { ...source.synced },
  };
  const lease: Problem[] =
    elector.problem === null
      ? []
      : [{ file: given.lease.name, document: null, service: null, message: elector.problem }];
  const refused = [...writes.refused].map(([file, message]) => {
    return { file, document: null, service: null, message };
  });
  return statusOf({
    ...{ controller, massRemoval: readings.massRemoval, role },
    problems: [...lease, ...source.problems(), ...refused],
    invalid: catalog.invalid,
    ignored: catalog.ignored(),
    reason: controller.isPublished ? null : source.isComplete && !isActive ? 'Standby' : 'NotComplete',
  });
}
