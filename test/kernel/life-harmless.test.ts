// The cost of a busy agent for other programs that use nf_tables: it commits so seldom that their rules are
// written and their listings end. The test prints how long both take beside a busy and an idle agent.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakeController } from '../agent/fake-controller.ts';
import { socketsOf } from '../agent/life.ts';
import { rule as ruleOf, Telling } from '../agent/pulse.ts';
import { spawnIn } from '../namespaces.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';

const dns: Service = { name: 'dns', addresses: ['10.77.0.100'], ports: ['UDP 53'] };
const foreignRules = 50_000;
const changesPerSecond = 4;
/** Beside so many rules: 100 us for each, after a burst. */
const commitIntervalMs = 5000;
const burst = 3;
/** Commits until the agent, which runs when the foreign rules come, has counted those. */
const uncounted = 12;
/** Rounds with and without changes alternate, so that both see the same machine. */
const rounds = 2;
const roundMs = 2500;
const pauseMs = 100;
/** Changes stop after this: on a busy machine a listing takes longer than the interval and would not end. */
const mostBusyMs = 30_000;

const many = Array.from({ length: foreignRules }, (_, n) => rule(n)).join('');
const one = rule(foreignRules);

interface Program {
  readonly argv: readonly [string, ...string[]];
  readonly input: string;
  /** How often one run of it raises the generation of nf_tables. */
  readonly commits: number;
}

const programs: readonly Program[] = [
  {
    argv: ['iptables-nft-restore', '--noflush'],
    // To delete a rule the program has to read all of them.
    input: `*filter\n${one}${one.replace('-A', '-D')}COMMIT\n`,
    commits: 1,
  },
  { argv: ['nft', 'list', 'ruleset'], input: '', commits: 0 },
];

test(`at ${changesPerSecond} changes a second the agent commits no more often than its interval allows`, {
  skip: skip || hasTool('nft', '--version') || hasTool('iptables-nft-restore', '--version'),
}, async () => {
  await using node = await Node.start({ services: [dns], paced: true });
  using sockets = socketsOf(node);
  node.run('iptables-nft-restore', { input: `*filter\n:many - [0:0]\n${many}COMMIT\n` });
  using controller = await FakeController.instead(node);
  const stream = await controller.next();
  stream.begin();
  await node.until('a stream in sync', async () => (await node.status()).controllers[0]?.state === 'open');
  let telling = new Telling(stream);
  // The agent rightly gives up the stream of a test that did not run for seconds.
  controller.onHello = (next) => {
    next.begin();
    telling = new Telling(next);
  };
  let count = 0;
  const tell = (): void => telling.say('rules', ruleOf('10.77.0.110', 1000 + (count++ % 1000)));
  for (const program of programs) {
    const [quiet, busy]: [number[], number[]] = [[], []];
    const began = performance.now();
    const before = await sockets.generation();
    for (let round = 0; round < rounds; round++) {
      quiet.push(...(await repeat(node, program)));
      const timer = setInterval(tell, 1000 / changesPerSecond);
      const enough = setTimeout(() => clearInterval(timer), mostBusyMs);
      busy.push(...(await repeat(node, program)));
      clearInterval(timer);
      clearTimeout(enough);
    }
    const theirs = (quiet.length + busy.length) * program.commits;
    const commits = (await sockets.generation()) - before - theirs;
    const most = burst + uncounted + Math.ceil((performance.now() - began) / commitIntervalMs);
    const figures = `${median(quiet)} ms beside an idle agent, ${median(busy)} ms beside a busy one`;
    process.stdout.write(
      `${program.argv[0]}: ${figures}, with ${commits} commits of ${count} changes so far\n`,
    );
    assert.ok(commits > 0 && commits <= most, `${commits} commits, of ${most} at the most`);
  }
});

/** Runs a program for a while, with pauses, and says how long each run took. */
async function repeat(node: Node, program: Program): Promise<number[]> {
  const took: number[] = [];
  for (const began = performance.now(); performance.now() - began < roundMs; await sleep(pauseMs)) {
    took.push(await takesMs(node, program));
  }
  return took;
}

/** How long a program takes on the node. */
async function takesMs(node: Node, { argv, input }: Program): Promise<number> {
  const began = performance.now();
  const child = spawnIn(node.node, argv, { stdio: ['pipe', 'ignore', 'inherit'] });
  child.stdin?.end(input);
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  return Math.round(performance.now() - began);
}

function rule(n: number): string {
  return `-A many -s 198.${18 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}/32 -j DROP\n`;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
