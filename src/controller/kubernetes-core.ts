// A controller without its server, in a cluster: Services from the API server, the generation from the Lease,
// no files. core.ts does the same for files.

import type { Address } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';
import type { ControllerConfig } from './config.ts';
import { Controller } from './controller.ts';
import { type Core, type CoreEvent, type CoreInput, makeReadings, nowMs } from './core.ts';
import { type ClusterIdentity, makeIdentity } from './kubernetes-identity.ts';
import { selfOf, statusInputOf } from './kubernetes-status.ts';
import { DeletedNodes, usualReturnMs } from './owners/deleted-nodes.ts';
import { Eligibility, type EndpointNodes } from './owners/eligibility.ts';
import { LeaderGate } from './readings/leader-gate.ts';
import type { MassRemoval } from './readings/mass-removal.ts';
import { noRecords } from './records/records.ts';
import { findAccess } from './sources/kubernetes/access.ts';
import { ApiClient } from './sources/kubernetes/client.ts';
import { barredEvent, clusterEvent, massRemovalEvent } from './sources/kubernetes/cluster-events.ts';
import { makeClusterWriter } from './sources/kubernetes/cluster-writer.ts';
import type { KubernetesConfig } from './sources/kubernetes/config.ts';
import { Credentials } from './sources/kubernetes/credentials.ts';
import { Elector } from './sources/kubernetes/elector.ts';
import { leaseReference } from './sources/kubernetes/event-object.ts';
import { KubernetesSource } from './sources/kubernetes/source.ts';
import { Topology } from './sources/kubernetes/topology.ts';
import { recordsOf } from './sources/kubernetes/virtual-ip.ts';
import { WhichCluster } from './sources/kubernetes/which-cluster.ts';
import type { Writes } from './sources/kubernetes/writes.ts';

/** Another process rules: this one cannot trust its state any more, and ends. */
export class DeposedError extends Error {
  readonly code = 'Deposed';
}

/** kube-proxy follows a status within a second or two; other readers may take longer. */
const followMs = 5000;

/** Throws UsageError if no API server is known. */
export function makeKubernetesCore(
  config: ControllerConfig,
  given: KubernetesConfig,
  input: CoreInput,
): Core {
  const { log, signal } = input;
  const { pools, filterByDefault } = config;
  const { namespace, reader, writer, keeper } = reach(given, input);
  const which = new WhichCluster();
  const onChange = () => elector.raise(controller.generation);
  const onTouched = (addresses: ReadonlySet<Address>, refused: ReadonlySet<ServiceKey>) => {
    eligibility.review(addresses);
    statusWriter.touched(addresses, refused);
  };
  const controller = new Controller({
    ...{ records: noRecords, pools, filterByDefault, onChange, onTouched, nowMs },
    mayRaise: () => mayWrite(),
  });
  const onState = () => source.topologyChanged();
  const onBarred = (barred: ReadonlyMap<string, string>) => say(barredEvent(lease, barred));
  const { topology, eligibility, lookAgain } = makeTopology({
    ...{ controller, client: reader, which, ignoresExclude: given.ignoresExclude, onState, onBarred, input },
  });
  const source = new KubernetesSource({
    ...{ client: reader, which, signal, random: Math.random, topology },
    ...{ namespaces: given.watchNamespaces, mayOptOut: given.mayOptOut },
    rules: {
      ...{ classes: given.classes, takesUnclassed: given.takesUnclassed },
      ...{ delivery: 'forward', isOfCluster: true },
    },
    onReading: (changes) => gate.follow(changes),
    onRecords: (changes) => recorded(changes),
    onSeen: (keys) => statusWriter.seen(keys),
    onState: (problems) => log.warn({ problems: problems.map(({ message }) => message) }, 'sourceState'),
  });
  const readAgain = () => source.readAgain();
  const lease = leaseReference(namespace, given.lease.name);
  const onMassRemoval = (held: MassRemoval | null) => held !== null && say(massRemovalEvent(lease, held));
  const mayWrite = () => elector.rules() && which.problem === null;
  // An unreadable Service must not block the first reading: its author could keep any controller from ruling.
  const truth = { services: source.catalog.services, invalid: new Map() };
  const readings = makeReadings(
    { controller, truth, readAgain, onMassRemoval, mayBelieve: mayWrite },
    config,
    input,
  );
  const remembered = () => recordsOf([...vipWriter.records], (key) => source.catalog.uidOf(key));
  const gate = new LeaderGate({ controller, source, readings, remembered, mayRule: mayWrite });
  const clusterWriter = makeClusterWriter({
    ...{ controller, source, client: writer, identity: given.identity, mayWrite, log, signal },
  });
  const { writes, statusWriter, vipWriter, recorded, moved, say } = clusterWriter;
  const elector = makeElector({ given, namespace, client: keeper, which, source, gate, writes, input });
  const identity = makeIdentity(config, given, {
    ...{ client: reader, namespace, mayWrite, log, signal },
    confirm: () => which.confirm(reader, { signal }),
  });
  const parts = { controller, source, readings, elector, clusterWriter, given, identity };
  const statusInput = () => statusInputOf(parts);
  const clients = [reader, writer, keeper];
  const about = { server: reader.server, identity: given.identity };
  const life = makeLife({ source, elector, identity, clients, onStart: () => log.info(about, 'reading') });
  const progressed = () => {
    lookAgain();
    statusWriter.progressed();
  };
  const isOpen = () => source.isComplete || readings.wasReadWhole;
  const self = () => selfOf({ controller, source, readings, elector });
  const happened = (what: CoreEvent) =>
    what.kind === 'moved' ? moved(what) : say(clusterEvent(lease, what));
  const { nodeOfToken, certificate } = identity;
  const replaces = { isTold: statusWriter.isTold, followMs };
  const doors = { nodeOfToken, certificate, isOpen, self, usePools: gate.usePools, replaces };
  return { ...doors, ...life, controller, readings, statusInput, progressed, happened };
}

/** The clients of the API server: reads, writes and the Lease have connections of their own. */
function reach(given: KubernetesConfig, { env, version }: CoreInput) {
  const access = findAccess({ kubeconfig: given.kubeconfig, context: given.context, env });
  const client = () => new ApiClient(access, new Credentials(access, env), `vipward/${version}`);
  const namespace = given.namespace ?? access.namespace ?? 'vipward-system';
  return { namespace, reader: client(), writer: client(), keeper: client() };
}

interface LifeParts {
  readonly source: KubernetesSource;
  readonly elector: Elector;
  readonly identity: ClusterIdentity;
  readonly clients: readonly ApiClient[];
  readonly onStart: () => void;
}

function makeLife({ source, elector, identity, clients, onStart }: LifeParts): Pick<Core, 'start' | 'end'> {
  let running: Promise<unknown> = Promise.resolve();
  return {
    async start() {
      onStart();
      source.start();
      running = Promise.all([elector.run(), identity.run()]);
    },
    async end() {
      await Promise.all([running, source.ended()]);
      for (const client of clients) client[Symbol.dispose]();
    },
  };
}

interface TopologyParts {
  readonly controller: Controller;
  readonly client: ApiClient;
  readonly which: WhichCluster;
  readonly ignoresExclude: boolean;
  readonly onState: () => void;
  readonly onBarred: (barred: ReadonlyMap<string, string>) => void;
  readonly input: CoreInput;
}

/** Watches nodes and endpoints, and moves or withdraws the VIPs that they no longer allow. */
function makeTopology({ controller, which, onBarred, input, ...more }: TopologyParts) {
  const { log, signal, massRemovalWaitMs } = input;
  const topology: Topology = new Topology({
    ...{ ...more, signal, random: Math.random },
    confirm: (signal) => which.confirm(more.client, { signal }),
    onNodes: (barred) => {
      eligibility.barred = barred;
      if (barred.size > 0) onBarred(barred);
    },
    onDeleted: (name) => controller.forget(name),
    onReturned: (name) => controller.nodes.returned(name),
    onEndpoints: (services) => eligibility.review(addressesOf(controller, services)),
  });
  const endpointNodes: EndpointNodes = (key, family) => topology.nodesOf(key, family);
  const eligibility = new Eligibility({ controller, endpointNodes });
  const deletedNodes = new DeletedNodes({
    ...{ controller, list: topology, returnMs: usualReturnMs, massRemovalWaitMs },
    onMass: (vips) => log.warn({ vips }, 'mostNodesMissing'),
    onGone: (gone) => {
      log.warn({ nodes: [...gone] }, 'nodesGone');
      for (const name of gone) controller.forget(name);
      eligibility.gone = gone;
    },
  });
  const lookAgain = () => {
    deletedNodes.progressed();
    eligibility.progressed();
  };
  return { topology, eligibility, lookAgain };
}

/** The VIPs of some Services; null means all VIPs. */
function addressesOf({ allocator, rules }: Controller, services: ReadonlySet<ServiceKey> | null): Address[] {
  if (services === null) return [...rules.keys()];
  return [...services].flatMap((key) => allocator.heldBy(key));
}

interface ElectorParts {
  readonly given: KubernetesConfig;
  readonly namespace: string;
  readonly client: ApiClient;
  readonly which: WhichCluster;
  readonly source: KubernetesSource;
  readonly gate: LeaderGate;
  readonly writes: Writes;
  readonly input: CoreInput;
}

function makeElector({ given, namespace, client, which, input, ...parts }: ElectorParts): Elector {
  const { log, signal, onFatal } = input;
  const { source, gate, writes } = parts;
  return new Elector({
    confirm: (asked) => which.confirm(client, asked),
    ...{ client, signal, random: Math.random, identity: given.identity, address: given.advertise },
    ...given.lease,
    namespace,
    onRule: (generation) => {
      log.info({ generation }, 'ruling');
      // The former leader may have written what no watch has shown yet, but writes no more by now.
      void source.catchUp().then(() => gate.open(generation));
    },
    onResume: () => {
      gate.follow({ set: [], remove: [] });
      writes.wake();
    },
    onRestored: () => {
      log.warn({}, 'restoredFromBackup');
      source.restored();
    },
    onDeposed: () =>
      onFatal(new DeposedError('another controller holds the Lease: start this one again as a standby')),
    onProblem: (reason) => log.warn({ reason }, reason === null ? 'leaseRenewed' : 'leaseNotRenewed'),
  });
}
