// What others start for the same change: nft and the iptables restores, each with a table of as many
// Services in a namespace of its own. A Service of iptables is one multiport rule, which is less than it
// would need.

import { nftables } from '../src/dialects/nftables/dialect.ts';
import { Kernel } from '../src/host/kernel.ts';
import { loadNative } from '../src/host/native.ts';
import type { VirtualIp } from '../src/state/virtual-ip.ts';
import { Namespace, runIn } from '../test/namespaces.ts';
import { batchesOf } from './floor.ts';
import type { Effort } from './pair.ts';
import { needsOf, type Variant, variants, vips } from './services.ts';
import { noSamples, type Spreads, spreads } from './statistics.ts';

export interface PeersResult {
  readonly peers: Readonly<Record<string, Spreads>>;
  /** What of each is the start of a process. */
  readonly emptyProcess: Spreads;
  readonly leftOut: string;
}

type Argv = readonly [string, ...string[]];
/** The input for a program that takes some Services away and puts others in. */
type Say = (remove: readonly VirtualIp[], add: readonly VirtualIp[]) => string;

const leftOut = 'libnftables through koffi: a package of its own, which nothing else here needs';
const mostRuns = 15;

export async function measurePeers(size: number, { rounds }: Effort): Promise<PeersResult> {
  const table = vips(size);
  const services = variants(size).slice(0, Math.min(rounds, mostRuns));
  const peers: Record<string, Spreads> = {};
  using nft = Namespace.make();
  await loadOurs(nft, table);
  peers['nft -f -'] = replay(nft, ['nft', '-f', '-'], nftText, services);
  for (const program of ['iptables-nft-restore', 'iptables-legacy-restore']) {
    using namespace = Namespace.make();
    const argv: Argv = [program, '--noflush'];
    say(namespace, argv, `*raw\n:VIPWARD -\n-A PREROUTING -j VIPWARD\n${rules('-A', table)}COMMIT\n`);
    peers[argv.join(' ')] = replay(namespace, argv, restoreText, services);
  }
  using empty = Namespace.make();
  return { peers, emptyProcess: replay(empty, ['true'], () => '', services), leftOut };
}

/** The agent's own table, without an owner, so that nft may change it. */
async function loadOurs(namespace: Namespace, table: readonly VirtualIp[]): Promise<void> {
  const options = { tableFlags: 0, setExpressionFlag: true, counters: false, echo: true, observe: false };
  using kernel = new Kernel(loadNative());
  namespace.run(() => kernel.portId('nfnetlink'));
  const { load } = batchesOf(nftables(options), { needs: needsOf(table), table, services: [] });
  const receipt = await kernel.commit({ door: 'nfnetlink', steps: load });
  if (receipt.length > 0) throw new Error(`the table was refused: ${receipt[0]?.words}`);
}

function replay(namespace: Namespace, argv: Argv, text: Say, services: readonly Variant[]): Spreads {
  const samples = noSamples();
  for (const { added, changed } of services) {
    samples.add.push(say(namespace, argv, text([], [added])));
    samples.change.push(say(namespace, argv, text([added], [changed])));
    samples.remove.push(say(namespace, argv, text([changed], [])));
  }
  return spreads(samples);
}

/** Microseconds from the start of the program to its end. */
function say(namespace: Namespace, argv: Argv, input: string): number {
  const beganAtMs = performance.now();
  const { status, stderr, error } = runIn(namespace, argv, input);
  const tookMs = performance.now() - beganAtMs;
  if (status !== 0) throw error ?? new Error(`${argv.join(' ')}: ${stderr}`);
  return tookMs * 1000;
}

function nftText(remove: readonly VirtualIp[], add: readonly VirtualIp[]): string {
  return [...elements('delete', remove), ...elements('add', add)].join('\n');
}

function elements(verb: 'add' | 'delete', table: readonly VirtualIp[]): string[] {
  return table.flatMap(({ address, ports }) => {
    const keys = ports.map(({ port }) => `${address} . tcp . ${port}`);
    return [
      `${verb} element inet vipward allow4 { ${keys.join(', ')} }`,
      `${verb} element inet vipward drop4 { ${address} }`,
      `${verb} element inet vipward vip4 { ${address} }`,
    ];
  });
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
