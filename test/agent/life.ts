// How tests observe a running agent: datagrams that must not be lost, monitors of other programs, and our own
// sockets in the node's namespace.
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { addresses } from '../../src/dialects/addresses/dialect.ts';
import { Kernel } from '../../src/host/kernel.ts';
import { loadNative } from '../../src/host/native.ts';
import { attributesOf, messagesOf, u32, u32Be } from '../../src/netlink/reader.ts';
import { formatAddress } from '../../src/state/address.ts';
import { isXtables } from '../kernel/firewall.ts';
import type { Node } from '../kernel/node.ts';
import { attach, readsIn, writesIn, writing } from '../kernel/tracer.ts';
import { bound } from '../kernel/traffic.ts';
import { end, spawnIn } from '../namespaces.ts';
import { patient, until } from '../patience.ts';

/** A later answer counts as lost; between two namespaces an answer takes a few hundred microseconds. */
const lostAfterMs = patient(3000);

export interface Prober {
  readonly sent: number;
  /** Ends the sending, waits for late answers, and returns how many never came. */
  lost(): Promise<number>;
}

/** Sends a numbered datagram from the client about every millisecond to a port that echoes it. */
export async function prober(node: Node, host: string, port: number): Promise<Prober> {
  const socket = await bound(node.client, host.includes(':') ? '::' : '0.0.0.0', 0);
  const unanswered = new Set<number>();
  let sent = 0;
  socket.on('message', (data) => unanswered.delete(Number(data)));
  const timer = setInterval(() => {
    unanswered.add(++sent);
    socket.send(String(sent), port, host);
  }, 1).unref();
  socket.unref();
  return {
    get sent() {
      return sent;
    },
    async lost() {
      clearInterval(timer);
      const end = performance.now() + lostAfterMs;
      while (unanswered.size > 0 && performance.now() < end) await sleep(5);
      socket.close();
      return unanswered.size;
    },
  };
}

export interface Monitor extends AsyncDisposable {
  /** Ends it, and returns what it printed since the start. */
  end(): Promise<string[]>;
}

/**
 * `ip monitor` or `nft monitor` on the node. Once it prints a change of our own, it is known to listen, and
 * at the end to have printed everything.
 */
export async function monitor(node: Node, kind: 'ip' | 'nft'): Promise<Monitor> {
  const argv =
    kind === 'ip' ? (['ip', 'monitor', 'address', 'link', 'route'] as const) : (['nft', 'monitor'] as const);
  const child = spawnIn(node.node, [...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => end(child));
  let text = '';
  child.stdout?.on('data', (part: Buffer) => {
    text += `${part}`;
  });
  let signs = 0;
  const isSeen = async (): Promise<boolean> => {
    const before = text.length;
    const [add, mark] =
      kind === 'ip'
        ? [`ip address add 192.0.2.${++signs}/32 dev lo`, `192.0.2.${signs}/32`]
        : [`nft add table ip sign${++signs}`, `sign${signs}`];
    node.run(add);
    const lastMs = performance.now() + 200;
    while (!text.slice(before).includes(mark) && performance.now() < lastMs) await sleep(5);
    return text.slice(before).includes(mark);
  };
  const sign = async (): Promise<void> => {
    await until(`our own change in ${kind} monitor`, isSeen);
    await sleep(50);
  };
  await sign();
  text = '';
  const kept = stack.move();
  return {
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
    async end() {
      await sign();
      await kept.disposeAsync();
      // Continued lines begin with white space.
      return text.split('\n').filter((line) => !/^$|^\s|192\.0\.2\.|sign\d|^# new generation/.test(line));
    },
  };
}

export interface Sockets extends Disposable {
  readonly kernel: Kernel;
  /** The number that every commit to nf_tables raises, of any program. */
  generation(): Promise<number>;
  /** When each address was added, in hundredths of a second since the machine started. */
  made(): Promise<Map<string, number>>;
}

const IFA_ADDRESS = 1;
const IFA_CACHEINFO = 6;
const NFT_MSG_GETGEN = 0xa10;
const NFTA_GEN_ID = 1;

/**
 * Our own netlink sockets in the node's namespace. One per process, because the addon has one place for late
 * results.
 */
export function socketsOf(node: Node): Sockets {
  const kernel = new Kernel(loadNative());
  node.node.run(() => [kernel.portId('nfnetlink'), kernel.portId('rtnetlink')]);
  return {
    kernel,
    async generation() {
      const bytes = new Uint8Array(20);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, bytes.length, true);
      view.setUint16(4, NFT_MSG_GETGEN, true);
      view.setUint16(6, 1, true);
      view.setUint32(8, 7, true);
      for (const { payload } of messagesOf(await kernel.ask({ door: 'nfnetlink', bytes }))) {
        const id = attributesOf(payload, 4).get(NFTA_GEN_ID);
        if (id !== undefined) return u32Be(id);
      }
      throw new Error('no generation in the answer');
    },
    async made() {
      const stamps = new Map<string, number>();
      for (const reply of await kernel.dump(addresses.dumps)) {
        for (const { payload } of messagesOf(reply)) {
          const attributes = attributesOf(payload, 8);
          const [address, cache] = [attributes.get(IFA_ADDRESS), attributes.get(IFA_CACHEINFO)];
          if (address !== undefined && cache !== undefined) stamps.set(formatAddress(address), u32(cache, 8));
        }
      }
      return stamps;
    },
    [Symbol.dispose]() {
      kernel[Symbol.dispose]();
    },
  };
}

export interface Commits extends AsyncDisposable {
  /** How many there have been since the start, once an agent that polls its tables has done so again. */
  count(): Promise<number>;
}

/** raw and mangle of both families, of which a poll reads those that exist. */
const mostTables = 4;

/** Why commits cannot be counted here, or false. */
export const uncounted: string | false = isXtables && lacks('strace');

/** nf_tables counts the commits of all programs; legacy tables count none, so the agent's are traced. */
export async function commitsOf(node: Node, sockets: Sockets): Promise<Commits> {
  if (isXtables) {
    const tracer = await attach(node, node.agentPid, writing);
    return {
      async count() {
        const before = readsIn(tracer.text());
        await node.until('two polls are over', () => readsIn(tracer.text()) > before + 2 * mostTables);
        return writesIn(tracer.text());
      },
      [Symbol.asyncDispose]: () => tracer[Symbol.asyncDispose](),
    };
  }
  const before = await sockets.generation();
  return {
    count: async () => (await sockets.generation()) - before,
    [Symbol.asyncDispose]: async () => undefined,
  };
}

/** A skip reason if a program is not installed, else false. */
export function lacks(program: string, word = '--version'): string | false {
  const { error } = spawnSync(program, [word]);
  return error === undefined ? false : `${program} is not installed`;
}
