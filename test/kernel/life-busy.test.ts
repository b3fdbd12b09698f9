// Other programs keep the kernel busy: the agent waits without losing a message, a packet or a change, and
// goes on answering.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FakeController } from '../agent/fake-controller.ts';
import { prober } from '../agent/life.ts';
import { change, takePulse } from '../agent/pulse.ts';
import { Namespace, runIn, spawnIn } from '../namespaces.ts';
import { isXtables } from './firewall.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';
import { getText } from './traffic.ts';

const dns: Service = { name: 'dns', addresses: ['10.77.0.100', 'fd77::100'], ports: ['UDP 53'] };
const busyMs = 10_000;
/** The numbers of rules and elements that the loads below write again and again. */
const [iptablesRules, setElements, hogElements] = [50_000, 200_000, 10_000];
const answerWithinMs = 2500;
const unprivileged = 'setpriv --reuid 65534 --regid 65534 --clear-groups';

/** Addresses outside every network of the test. */
function address(n: number): string {
  return `198.${18 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
}

function some(count: number, each: (n: number) => string, between: string): string {
  return Array.from({ length: count }, (_, n) => each(n)).join(between);
}

/** A shell that repeats a command with a file on descriptor 3 until it is killed. */
function loop(
  where: Namespace,
  folder: string,
  { name, input, words }: Record<'name' | 'input' | 'words', string>,
) {
  const path = join(folder, name);
  writeFileSync(path, input);
  const fd = openSync(path, 'r');
  const argv = ['sh', '-c', `while :; do ${words}; echo done; done`] as const;
  const child = spawnIn(where, argv, { stdio: ['ignore', 'pipe', 'pipe', fd], detached: true });
  closeSync(fd);
  return new Load(name, child);
}

class Load implements AsyncDisposable {
  rounds = 0;
  said = '';
  readonly name: string;
  readonly #child: ChildProcess;

  constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
    child.stdout?.on('data', (part: Buffer) => {
      this.rounds += `${part}`.split('done\n').length - 1;
    });
    child.stderr?.on('data', (part: Buffer) => {
      this.said += `${part}`;
    });
  }

  /** A process that waits in the kernel dies when the kernel lets it go. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    process.kill(-(this.#child.pid ?? 0), 'SIGKILL');
    await once(this.#child, 'close');
  }
}

/** A flush that takes seconds, and a command that waits for it and holds the lock of all namespaces. */
const mutexHog = `while read -r line; do echo "$line" | nft -f -; done </proc/self/fd/3
  nft flush set ip hog s & sleep 0.2; nft add table ip waits; wait`;
const isRoot =
  process.getuid?.() === 0 && runIn(Namespace.current(), ['sh', '-c', `${unprivileged} true`]).status === 0;
const asNobody = isRoot ? `${unprivileged} ` : '';

/**
 * A load on the kernel, and a bound in seconds that some commit of the agent then exceeds, by its own
 * measure. A commit on an idle kernel takes less than a millisecond; legacy tables and sets are locked for a
 * part of a restore only.
 */
interface Busy {
  readonly what: string;
  readonly names: readonly LoadName[];
  readonly heldS: number;
}

const loads: readonly Busy[] = isXtables
  ? [{ what: 'iptables-legacy-restore and ipset restore', names: ['legacy', 'ipset'], heldS: 0.005 }]
  : [
      { what: 'iptables-nft-restore and nft -f', names: ['iptables', 'nft'], heldS: 0.1 },
      { what: 'an unprivileged user with a namespace of its own', names: ['hog'], heldS: 0.5 },
    ];
/** A sign under way when a commit begins may still arrive; a thread that waits for the kernel gives none. */
const straySigns = 1;

for (const { what, names, heldS } of loads) {
  test(`the agent loses no packet and no change beside ${what}`, {
    skip:
      skip ||
      hasTool('nft', '--version') ||
      hasTool('iptables-nft-restore', '--version') ||
      (isXtables && (hasTool('iptables-legacy-restore', '--version') || hasTool('ipset', '-v'))),
  }, async () => {
    await using node = await Node.start({ services: [dns] });
    await node.listen(node.node, 'udp', 53);
    using controller = await FakeController.instead(node);
    const stream = await controller.next();
    stream.begin();
    await node.until('a stream in sync', async () => (await node.status()).controllers[0]?.state === 'open');
    const packets = await prober(node, '10.77.0.100', 53);
    await using stack = new AsyncDisposableStack();
    const running = names.map((name) => stack.use(startLoad(node, name)));
    const pulse = await takePulse(node, controller);
    const changes = await change(controller, stream, { forMs: busyMs, everyMs: 200 });
    const figures = pulse.end();
    const rounds = running.map(({ name, rounds: done }) => `${done} rounds of ${name}`).join(', ');
    await stack.disposeAsync();
    const lost = await packets.lost();
    assert.equal(running.map(({ said }) => said.slice(0, 1000)).join(''), '');
    await node.until('the last change is acknowledged', () => changes.areAcknowledged());
    changes.checkKernel(node);
    assert.equal(lost, 0);
    const commit = changes.longestCommit();
    const slow = await slowCommits(node, heldS);
    const commitMs = Math.round(commit.toMs - commit.fromMs);
    const [beats, answers] = figures.during(commit);
    process.stdout.write(
      `beside ${rounds}: ${figures.words}; ${changes.count} changes, ${slow} commits over ${heldS} s, ` +
        `the longest acknowledged after ${commitMs} ms, in which there were ${beats} heartbeats and ` +
        `${answers} answers; 0 of ${packets.sent} packets lost\n`,
    );
    assert.ok(slow > 0, 'the kernel was never busy');
    assert.ok(heldS * 1000 < commitMs, `${commitMs} ms`);
    if (!isXtables)
      assert.ok(Math.min(beats, answers) > straySigns, `${beats} and ${answers} in ${commitMs} ms`);
    assert.ok(figures.ownSilenceMs < answerWithinMs, figures.words);
  });
}

/** How many commits took longer than a bound of the histogram. */
async function slowCommits(node: Node, boundS: number): Promise<number> {
  const text = await getText(node.node, 'http://127.0.0.1:9471/metrics');
  const upTo = (bound: string): number => {
    const name = `vipward_commit_duration_seconds_bucket{le="${bound}"} `;
    return Number(
      text
        .split('\n')
        .find((line) => line.startsWith(name))
        ?.slice(name.length),
    );
  };
  return upTo('+Inf') - upTo(`${boundS}`);
}

type LoadName = 'iptables' | 'nft' | 'hog' | 'legacy' | 'ipset';

const addLine = (n: number): string => `add big ${address(n)}\n`;

function startLoad(node: Node, name: LoadName): Load {
  const rules = Array.from({ length: iptablesRules }, (_, n) => `-A many -s ${address(n)}/32 -j DROP`);
  switch (name) {
    case 'iptables':
    case 'legacy':
      return loop(node.node, node.folder, {
        name,
        input: ['*filter', ':many - [0:0]', ...rules, 'COMMIT', ''].join('\n'),
        words: `iptables-${name === 'legacy' ? 'legacy' : 'nft'}-restore < /proc/self/fd/3`,
      });
    case 'ipset':
      return loop(node.node, node.folder, {
        name,
        input: `create big hash:ip maxelem ${setElements}\n${some(setElements, addLine, '')}`,
        words: 'ipset restore < /proc/self/fd/3 && ipset destroy big',
      });
    case 'nft':
      return loop(node.node, node.folder, {
        name,
        input: `table ip big {}\ndelete table ip big\ntable ip big { set s {
          type ipv4_addr; size ${setElements}; elements = { ${some(setElements, address, ', ')} }; }; }\n`,
        words: 'nft -f /proc/self/fd/3',
      });
    case 'hog':
      return loop(node.node, node.folder, {
        name,
        input: hogLines(),
        words: `${asNobody}unshare -Urn sh -c '${mutexHog}'`,
      });
    default:
      return name satisfies never;
  }
}

/** An unprivileged user cannot raise its socket buffer, so it adds at most 1000 elements at once. */
function hogLines(): string {
  const lines = ['table ip hog { set s { type ipv4_addr . inet_service; flags interval; }; }'];
  for (let from = 0; from < hogElements; from += 1000) {
    const element = (n: number): string => `${address(from + n)} . ${n + 1}-${n + 3}`;
    lines.push(`add element ip hog s { ${some(1000, element, ', ')} }`);
  }
  return `${lines.join('\n')}\n`;
}
