// The inner half of the demo, in the namespace of its node: creates the network, runs controller and agent,
// sends probes, changes the manifests, and removes everything again.

import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kernel } from '../../host/kernel.ts';
import { loadNative } from '../../host/native.ts';
import { messageOf } from '../../process/message-of.ts';
import { familyOf } from '../../state/address.ts';
import { Listeners } from './listeners.ts';
import { replaceNat } from './nat.ts';
import { configure, makeVeth, setLoopbackUp } from './network.ts';
import {
  backendEndpoints,
  hosts,
  type Probe,
  planOf,
  poolPrefixes,
  poolRanges,
  prefixLengths,
  togglePort,
} from './plan.ts';
import { type DemoInput, type Launcher, Peer, Program } from './processes.ts';
import { type Change, type Outcome, Screen } from './screen.ts';
import { agentStatus, controllerStatus, explanation, until } from './servers.ts';
import { DemoServices } from './services.ts';

export interface InsideInput extends DemoInput {
  readonly services: string;
  readonly once: boolean;
  /** The folder for the demo's files. It exists already, and runInside removes it. */
  readonly folder: string;
}

/** Everything to remove at the end, in the order of creation. */
type Undo = (() => void | Promise<void>)[];

interface Stage {
  readonly kernel: Kernel;
  readonly client: Peer;
  readonly listeners: Listeners;
  readonly services: DemoServices;
  readonly programs: readonly Program[];
  readonly screen: Screen;
  readonly signal: AbortSignal;
}

const changeIntervalMs = 4000;

/** Runs until the signal, or for two rounds of probes; removes everything in either case. */
export async function runInside(input: InsideInput): Promise<number> {
  const undo: Undo = [];
  const screen = new Screen(process.stdout);
  let isClean = true;
  try {
    const stage = await setUp(input, screen, undo);
    isClean = await play(stage, input.once);
  } catch (error) {
    // A stop in the middle of a step appears as an error of that step.
    if (!input.signal.aborted) {
      isClean = false;
      process.stderr.write(`vipward demo: ${messageOf(error)}\n`);
    }
  }
  for (const step of undo.reverse()) await step();
  screen.say('demo: everything is removed');
  // A signal is the normal end of the live demo, but a failure with `once`.
  if (input.signal.aborted) return input.once ? 1 : 0;
  return isClean ? 0 : 1;
}

async function setUp(input: InsideInput, screen: Screen, undo: Undo): Promise<Stage> {
  const { folder, program, env, signal } = input;
  undo.push(() => rmSync(folder, { recursive: true, force: true }));
  const launcher: Launcher = { folder, program, env };
  const services = new DemoServices(input.services, join(folder, 'services.yaml'));
  const kernel = new Kernel(loadNative());
  undo.push(() => kernel[Symbol.dispose]());
  await setLoopbackUp(kernel);
  forwardPackets();
  screen.say('demo: a node, a client and a backend in network namespaces of their own');
  const client = await addPeer(kernel, launcher, { name: 'client', undo });
  const backend = await addPeer(kernel, launcher, { name: 'backend', undo });
  await backend.tell({ kind: 'serve', name: 'backend', endpoints: backendEndpoints() });
  const programs = [startController(launcher, services.path, undo), startAgent(launcher, services, undo)];
  screen.say('demo: a controller and an agent are starting');
  const listeners = new Listeners('node');
  const stage = { kernel, client, listeners, services, programs, screen, signal };
  await settled(stage);
  return stage;
}

/** Creates a namespace with one interface, eth0, whose other end is in this namespace. */
async function addPeer(
  kernel: Kernel,
  launcher: Launcher,
  { name, undo }: { readonly name: 'client' | 'backend'; readonly undo: Undo },
): Promise<Peer> {
  const peer = await Peer.start(launcher);
  undo.push(() => peer.stop());
  await makeVeth(kernel, `${name}0`, peer.pid);
  const withLength = (addresses: (typeof hosts)['node']) => {
    return addresses.map((address, index) => ({ address, length: prefixLengths[index] ?? 128 }));
  };
  const here = name === 'client' ? hosts.node : hosts.gateway;
  await configure(kernel, { name: `${name}0`, addresses: withLength(here), isDefault: false });
  const there = { name: 'eth0', addresses: withLength(hosts[name]), isDefault: name === 'client' };
  await peer.tell({ kind: 'configure', interface: there });
  return peer;
}

/** A Kubernetes node forwards packets. These sysctls belong to this namespace, not to the machine. */
function forwardPackets(): void {
  for (const path of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']) {
    if (existsSync(`/proc/sys/net/${path}`)) writeFileSync(`/proc/sys/net/${path}`, '1');
  }
}

function startController(launcher: Launcher, services: string, undo: Undo): Program {
  const state = join(launcher.folder, 'controller-state');
  const words = ['controller', '--services', services, '--pool', `demo=${poolRanges}`, '--state', state];
  const program = new Program(launcher, words);
  undo.push(() => program.stop());
  return program;
}

function startAgent(launcher: Launcher, services: DemoServices, undo: Undo): Program {
  const words = ['agent', '--controller', 'ws://127.0.0.1:9470', '--node', 'demo', '--counters'];
  words.push('--allow', [...poolPrefixes, ...services.addresses].join(','), '--interface', 'client0');
  const program = new Program(launcher, [...words, '--state', join(launcher.folder, 'agent-state')]);
  undo.push(() => program.stop());
  return program;
}

/** Waits until every VIP is committed and announced. */
async function settled({ programs, signal }: Stage): Promise<void> {
  await until(
    'every VIP to be served',
    async () => {
      const { vips, synced } = await controllerStatus();
      const waiting = vips.find((vip) => vip.state !== 'serving');
      if (waiting !== undefined)
        throw new Error(`${waiting.address} is ${waiting.state}: ${waiting.message}`);
      const { inSync } = await agentStatus();
      return (synced && vips.length > 0 && inSync) || undefined;
    },
    { programs, signal, everyMs: 50 },
  );
}

async function play(stage: Stage, once: boolean): Promise<boolean> {
  const { screen, signal } = stage;
  let isClean = true;
  const round = async () => {
    const outcomes = await probeAll(stage);
    screen.draw(outcomes, await agentStatus());
    isClean &&= outcomes.every((outcome) => outcome.isAsDeclared);
  };
  await round();
  for (let changes = 0; !once || changes < 2; changes++) {
    await sleep(once ? 0 : changeIntervalMs, undefined, { signal });
    screen.changed(await change(stage));
    await round();
  }
  return isClean;
}

/** Opens or closes a port in the manifests, and waits until the kernel has it. */
async function change({ services, programs, signal }: Stage): Promise<Change> {
  const before = (await controllerStatus()).seq;
  const started = performance.now();
  const what = services.toggle(togglePort);
  const lagMs = await until(
    'the change to be in the kernel',
    async () => {
      const { seq, nodes } = await controllerStatus();
      const [node] = nodes;
      const isThere = seq > before && node?.seq !== null && (node?.seq ?? 0) >= seq;
      return isThere ? { value: node?.lagMs ?? null } : undefined;
    },
    { programs, signal, everyMs: 1 },
  );
  return { what, totalMs: performance.now() - started, lagMs: lagMs.value };
}

/** Updates NAT and listeners as kube-proxy would, then sends all probes from the client at once. */
async function probeAll(stage: Stage): Promise<Outcome[]> {
  const { kernel, client, listeners, services } = stage;
  const plan = planOf(await controllerStatus(), services.declared);
  for (const backend of hosts.backend) {
    const ofFamily = plan.forwards.filter((each) => familyOf(each.address) === familyOf(backend));
    await replaceNat(kernel, backend, ofFamily);
  }
  await listeners.ensure(plan.listeners);
  return await Promise.all(plan.probes.map((probe) => tryOut(client, probe)));
}

async function tryOut(client: Peer, probe: Probe): Promise<Outcome> {
  const { endpoint, expected } = probe;
  const sighting = await client.tell({ kind: 'probe', endpoint, isAnswered: expected !== null });
  if (sighting === undefined) throw new Error('the client reported no result of a probe');
  const from = hosts.client[familyOf(endpoint.address) === 4 ? 0 : 1];
  const { rule, reason } = await explanation(endpoint, from);
  // A refused connection is an answer too: the packet passed the filter.
  const isAsDeclared = expected === null ? sighting.words === 'no answer' : sighting.by === expected;
  return { probe, sighting, rule: rule ?? reason, isAsDeclared };
}
