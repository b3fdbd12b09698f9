// How long other programs take for the same change: nft, libnftables and the iptables restores, each with a
// table of the same number of Services in a namespace of its own. For iptables a Service is one multiport
// rule, which is less than it would need.

import { nftables } from '../src/dialects/nftables/dialect.ts';
import { Kernel } from '../src/host/kernel.ts';
import { loadNative } from '../src/host/native.ts';
import type { VirtualIp } from '../src/state/virtual-ip.ts';
import { plain } from '../test/dialects/arbitraries.ts';
import { Namespace, runIn } from '../test/namespaces.ts';
import { batchesOf } from './floor.ts';
import { LibNftables, whyNoLibNftables } from './libnftables.ts';
import type { Effort } from './pair.ts';
import { isMissing } from './programs.ts';
import { needsOf, type Variant, variants, vips } from './services.ts';
import { noSamples, type Spreads, spreads } from './statistics.ts';

export interface PeersResult {
  readonly peers: Readonly<Record<string, Spreads>>;
  /** The part of a program's time that is the start of a process. */
  readonly emptyProcess: Spreads;
  /** The programs that cannot be measured here, with the remedy. */
  readonly leftOut: readonly string[];
}

type Argv = readonly [string, ...string[]];
/** Changes the kernel by a text of commands. */
type Tell = (text: string) => void;
/** The text that removes some Services and adds others. */
type Say = (remove: readonly VirtualIp[], add: readonly VirtualIp[]) => string;

const mostRuns = 15;

export async function measurePeers(size: number, { rounds }: Effort): Promise<PeersResult> {
  const table = vips(size);
  const services = variants(size).slice(0, Math.min(rounds, mostRuns));
  const peers: Record<string, Spreads> = {};
  const leftOut: string[] = [];
  const measure = async (name: string, body: () => Spreads | Promise<Spreads>): Promise<void> => {
    const missing = whatIsMissing(name);
    if (missing === null) peers[name] = await body();
    else leftOut.push(missing);
  };
  await measure('nft -f -', async () => {
    using namespace = Namespace.make();
    await loadOurs(namespace, table);
    return replay(program(namespace, ['nft', '-f', '-']), nftText, services);
  });
  await measure('libnftables through koffi', async () => {
    using namespace = Namespace.make();
    await loadOurs(namespace, table);
    using library = namespace.run(() => new LibNftables());
    return replay((text) => namespace.run(() => library.run(text)), nftText, services);
  });
  for (const name of ['iptables-nft-restore', 'iptables-legacy-restore']) {
    await measure(`${name} --noflush`, () => {
      using namespace = Namespace.make();
      const tell = program(namespace, [name, '--noflush']);
      tell(`*raw\n:VIPWARD -\n-A PREROUTING -j VIPWARD\n${rules('-A', table)}COMMIT\n`);
      return replay(tell, restoreText, services);
    });
  }
  using empty = Namespace.make();
  return { peers, emptyProcess: replay(program(empty, ['true']), () => '', services), leftOut };
}

/** Why a peer of this name cannot be measured here, or null. */
function whatIsMissing(name: string): string | null {
  const [command = ''] = name.split(' ');
  if (command === 'libnftables') return whyNoLibNftables();
  if (!isMissing(command)) return null;
  return `${command} is not installed: apt install ${command === 'nft' ? 'nftables' : 'iptables'}`;
}

/** The agent's own table, without an owner, so that nft may change it. */
async function loadOurs(namespace: Namespace, table: readonly VirtualIp[]): Promise<void> {
  using kernel = new Kernel(loadNative());
  namespace.run(() => kernel.portId('nfnetlink'));
  const { load } = batchesOf(nftables(plain), { needs: needsOf(table), table, services: [] });
  const receipt = await kernel.commit({ door: 'nfnetlink', steps: load });
  if (receipt.length > 0) throw new Error(`the table was refused: ${receipt[0]?.words}`);
}

function replay(tell: Tell, say: Say, services: readonly Variant[]): Spreads {
  const samples = noSamples();
  const time = (text: string): number => {
    const beganAtMs = performance.now();
    tell(text);
    return (performance.now() - beganAtMs) * 1000;
  };
  for (const { added, changed } of services) {
    samples.add.push(time(say([], [added])));
    samples.change.push(time(say([added], [changed])));
    samples.remove.push(time(say([changed], [])));
  }
  return spreads(samples);
}

/** Changes the kernel by a program, timed from its start to its end. */
function program(namespace: Namespace, argv: Argv): Tell {
  return (text) => {
    const { status, stderr, error } = runIn(namespace, argv, text);
    if (status !== 0) throw error ?? new Error(`${argv.join(' ')}: ${stderr}`);
  };
}

/** As little as the agent itself sends: elements that stay are neither deleted nor added again. */
function nftText(remove: readonly VirtualIp[], add: readonly VirtualIp[]): string {
  const [have, want] = [elementsOf(remove), elementsOf(add)];
  return [
    ...[...have.difference(want)].map((element) => `delete element inet vipward ${element}`),
    ...[...want.difference(have)].map((element) => `add element inet vipward ${element}`),
  ].join('\n');
}

function elementsOf(table: readonly VirtualIp[]): Set<string> {
  const elements = new Set<string>();
  for (const { address, ports } of table) {
    for (const { port } of ports) elements.add(`allow4 { ${address} . tcp . ${port} }`);
    elements.add(`drop4 { ${address} }`).add(`vip4 { ${address} }`);
  }
  return elements;
}

function restoreText(remove: readonly VirtualIp[], add: readonly VirtualIp[]): string {
  return `*raw\n${rules('-D', remove)}${rules('-A', add)}COMMIT\n`;
}

function rules(verb: '-A' | '-D', table: readonly VirtualIp[]): string {
  return table
    .map(({ address, ports }) => {
      const numbers = ports.map(({ port }) => port).join(',');
      return `${verb} VIPWARD -d ${address}/32 -p tcp -m multiport --dports ${numbers} -j ACCEPT\n`;
    })
    .join('');
}
