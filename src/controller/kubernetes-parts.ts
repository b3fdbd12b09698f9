// The parts of a controller in a cluster, wired together. Nothing runs yet.

import type { Address } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';
import type { ControllerConfig } from './config.ts';
import { Controller } from './controller.ts';
import { type CoreInput, makeReadings, nowMs } from './core.ts';
import { type ClusterIdentity, makeIdentity } from './kubernetes-identity.ts';
import { DeletedNodes, usualReturnMs } from './owners/deleted-nodes.ts';
import { Eligibility } from './owners/eligibility.ts';
import { LeaderGate } from './readings/leader-gate.ts';
import type { MassRemoval } from './readings/mass-removal.ts';
import type { Readings } from './readings/readings.ts';
import { noRecords } from './records/records.ts';
import { findAccess } from './sources/kubernetes/access.ts';
import { ApiClient } from './sources/kubernetes/client.ts';
import { barredEvent, massRemovalEvent } from './sources/kubernetes/cluster-events.ts';
import { type ClusterWriter, makeClusterWriter } from './sources/kubernetes/cluster-writer.ts';
import type { KubernetesConfig } from './sources/kubernetes/config.ts';
import { Credentials } from './sources/kubernetes/credentials.ts';
import { DeposedError, Elector } from './sources/kubernetes/elector.ts';
import { leaseReference, type ObjectReference } from './sources/kubernetes/event-object.ts';
import { KubernetesSource } from './sources/kubernetes/source.ts';
import { Topology } from './sources/kubernetes/topology.ts';
import { recordsOf } from './sources/kubernetes/virtual-ip.ts';
import { WhichCluster } from './sources/kubernetes/which-cluster.ts';
import { problemLog } from './sources/problem-log.ts';

/** Clients of the API server: reads, writes and the Lease have connections of their own. */
export interface Clients {
  readonly reader: ApiClient;
  readonly writer: ApiClient;
  readonly keeper: ApiClient;
  /** The namespace of the Lease and of the shared certificate. */
  readonly namespace: string;
}

/** A part reaches those that are made after it through these fields. */
export class KubernetesParts {
  readonly given: KubernetesConfig;
  readonly clients: Clients;
  readonly which: WhichCluster = new WhichCluster();
  readonly lease: ObjectReference;
  readonly controller: Controller;
  readonly topology: Topology;
  readonly eligibility: Eligibility;
  readonly deletedNodes: DeletedNodes;
  readonly source: KubernetesSource;
  readonly readings: Readings;
  readonly gate: LeaderGate;
  readonly clusterWriter: ClusterWriter;
  readonly elector: Elector;
  readonly identity: ClusterIdentity;
  readonly #config: ControllerConfig;
  readonly #input: CoreInput;

  /** Throws UsageError if no API server is known. */
  constructor(config: ControllerConfig, given: KubernetesConfig, input: CoreInput) {
    this.#config = config;
    this.#input = input;
    this.given = given;
    this.clients = reach(given, input);
    this.lease = leaseReference(this.clients.namespace, given.lease.name);
    this.controller = this.#makeController();
    this.topology = this.#makeTopology();
    this.eligibility = new Eligibility({
      controller: this.controller,
      endpointNodes: (key, family) => this.topology.nodesOf(key, family),
    });
    this.deletedNodes = this.#makeDeletedNodes();
    this.source = this.#makeSource();
    this.readings = this.#makeReadings();
    this.gate = this.#makeGate();
    this.clusterWriter = this.#makeClusterWriter();
    this.elector = this.#makeElector();
    this.identity = this.#makeIdentity();
  }

  /** This process rules, and the API server still belongs to the cluster that it rules. */
  readonly mayWrite = (): boolean => this.elector.rules() && this.which.problem === null;

  #makeController(): Controller {
    const { pools, filterByDefault } = this.#config;
    return new Controller({
      records: noRecords,
      pools,
      filterByDefault,
      nowMs,
      mayRaise: this.mayWrite,
      onChange: () => this.elector.raise(this.controller.generation),
      onTouched: (addresses, refused) => {
        this.eligibility.review(addresses);
        this.clusterWriter.statusWriter.touched(addresses, refused);
      },
    });
  }

  #makeTopology(): Topology {
    const { controller, which } = this;
    const { reader } = this.clients;
    return new Topology({
      client: reader,
      confirm: (signal) => which.confirm(reader, { signal }),
      ignoresExclude: this.given.ignoresExclude,
      signal: this.#input.signal,
      random: Math.random,
      onNodes: (barred) => {
        this.eligibility.barred = barred;
        if (barred.size > 0) this.clusterWriter.say(barredEvent(this.lease, barred));
      },
      onDeleted: (name) => controller.forget(name),
      onReturned: (name) => controller.nodes.returned(name),
      onEndpoints: (services) => this.eligibility.review(addressesOf(controller, services)),
      onState: () => this.source.topologyChanged(),
    });
  }

  #makeDeletedNodes(): DeletedNodes {
    const { controller, topology, eligibility } = this;
    const { log, massRemovalWaitMs } = this.#input;
    return new DeletedNodes({
      controller,
      list: topology,
      returnMs: usualReturnMs,
      massRemovalWaitMs,
      onMass: (vips) => log.warn({ vips }, 'mostNodesMissing'),
      onGone: (gone) => {
        log.warn({ nodes: [...gone] }, 'nodesGone');
        for (const name of gone) controller.forget(name);
        eligibility.gone = gone;
      },
    });
  }

  #makeSource(): KubernetesSource {
    const { given, which, topology } = this;
    const { log, signal } = this.#input;
    return new KubernetesSource({
      client: this.clients.reader,
      which,
      topology,
      signal,
      random: Math.random,
      namespaces: given.watchNamespaces,
      mayOptOut: given.mayOptOut,
      rules: {
        classes: given.classes,
        takesUnclassed: given.takesUnclassed,
        delivery: 'forward',
        isOfCluster: true,
      },
      onReading: (changes) => this.gate.follow(changes),
      onRecords: (changes) => this.clusterWriter.recorded(changes),
      onSeen: (keys) => this.clusterWriter.statusWriter.seen(keys),
      onState: problemLog(log),
    });
  }

  #makeReadings(): Readings {
    const { controller, source } = this;
    const parts = {
      controller,
      // An unreadable Service must not block the first reading: its author could keep any controller from
      // ruling.
      truth: { services: source.catalog.services, invalid: new Map() },
      readAgain: () => source.readAgain(),
      mayBelieve: this.mayWrite,
      onMassRemoval: (held: MassRemoval | null) => {
        if (held !== null) this.clusterWriter.say(massRemovalEvent(this.lease, held));
      },
    };
    return makeReadings(parts, this.#config, this.#input);
  }

  #makeGate(): LeaderGate {
    const { controller, source, readings } = this;
    const records = () => [...this.clusterWriter.vipWriter.records];
    const remembered = () => recordsOf(records(), (key) => source.catalog.uidOf(key));
    return new LeaderGate({ controller, source, readings, remembered, mayRule: this.mayWrite });
  }

  #makeClusterWriter(): ClusterWriter {
    const { controller, source, given, mayWrite } = this;
    const { log, signal } = this.#input;
    const { writer: client } = this.clients;
    return makeClusterWriter({ controller, source, client, identity: given.identity, mayWrite, log, signal });
  }

  #makeElector(): Elector {
    const { given, which, source, gate } = this;
    const { log, signal, onFatal } = this.#input;
    const { keeper, namespace } = this.clients;
    return new Elector({
      ...given.lease,
      client: keeper,
      namespace,
      identity: given.identity,
      address: given.advertise,
      signal,
      random: Math.random,
      confirm: (asked) => which.confirm(keeper, asked),
      onRule: (generation) => {
        log.info({ generation }, 'ruling');
        // The former leader may have written what no watch has shown yet, but writes no more by now.
        void source.catchUp().then(() => gate.open(generation));
      },
      onResume: () => {
        gate.follow({ set: [], remove: [] });
        this.clusterWriter.writes.wake();
      },
      onRestored: () => {
        log.warn({}, 'restoredFromBackup');
        source.restored();
      },
      onDeposed: () => onFatal(new DeposedError()),
      onProblem: (reason) => log.warn({ reason }, reason === null ? 'leaseRenewed' : 'leaseNotRenewed'),
    });
  }

  #makeIdentity(): ClusterIdentity {
    const { which, given, mayWrite } = this;
    const { log, signal } = this.#input;
    const { reader: client, namespace } = this.clients;
    const confirm = () => which.confirm(client, { signal });
    return makeIdentity(this.#config, given, { client, namespace, mayWrite, log, signal, confirm });
  }
}

function reach(given: KubernetesConfig, { env, version }: CoreInput): Clients {
  const access = findAccess({ kubeconfig: given.kubeconfig, context: given.context, env });
  const client = () => new ApiClient(access, new Credentials(access, env), `vipward/${version}`);
  const namespace = given.namespace ?? access.namespace ?? 'vipward-system';
  return { namespace, reader: client(), writer: client(), keeper: client() };
}

/** The VIPs of some Services; null means all VIPs. */
function addressesOf({ allocator, rules }: Controller, services: ReadonlySet<ServiceKey> | null): Address[] {
  if (services === null) return [...rules.keys()];
  return [...services].flatMap((key) => allocator.heldBy(key));
}
