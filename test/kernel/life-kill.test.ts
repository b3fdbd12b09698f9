// An agent is killed and started again: the kernel goes on serving, and the agent writes nothing twice.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { commitsOf, lacks, monitor, prober, socketsOf, uncounted } from '../agent/life.ts';
import { runIn, spawnIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { isXtables, owners, rulesOf } from './firewall.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';
import { tracing, writesIn, writing } from './tracer.ts';

const dns: Service = { name: 'dns', addresses: ['10.77.0.100', 'fd77::100'], ports: ['UDP 53'] };
const web: Service = { name: 'web', addresses: ['10.77.0.101'], ports: ['TCP 80'] };
const toPrint = skip || hasTool('nft', '--version');

/** However a test ends, its children end soon after it. */
const life = { timeout: 60_000, killSignal: 'SIGKILL' } as const;

async function dropped(node: Node, vip: string): Promise<number> {
  return (await node.counted()).vips.find(({ address }) => address === vip)?.dropped ?? -1;
}

for (const owner of owners) {
  test(`kill -9 and a restart lose no packet, change no object and keep counters (table owner ${owner})`, {
    skip: toPrint,
  }, async () => {
    await using node = await Node.start({ services: [dns, web], agentArgs: ['--table-owner', owner] });
    await node.listen(node.node, 'udp', 53);
    await node.until('an answer', async () => (await node.probe('udp', 'fd77::100', 53)) === 'open');
    await node.probe('udp', '10.77.0.100', 54);
    const drops = await dropped(node, '10.77.0.100');
    assert.equal(drops, 1);
    const probers = [await prober(node, '10.77.0.100', 53), await prober(node, 'fd77::100', 53)];
    await using addresses = await monitor(node, 'ip');
    await using rules = await monitor(node, 'nft');
    await node.killAgent('SIGKILL');
    await node.probe('udp', '10.77.0.100', 54);
    node.startAgent();
    await node.settled([dns, web]);
    await node.probe('udp', '10.77.0.100', 54);
    assert.equal(await dropped(node, '10.77.0.100'), 3);
    assert.deepEqual(await addresses.end(), []);
    // To own the table again the agent sends a message about the table, and about nothing in it.
    const taken = owner === 'on' ? /^(add table inet vipward( \{.*\})?\n?)+$/ : /^$/;
    assert.match((await rules.end()).join('\n'), taken);
    for (const one of probers) assert.equal(await one.lost(), 0);
    if (isXtables) return;
    const { status } = runIn(node.node, ['nft', 'add', 'chain', 'inet', 'vipward', 'other']);
    assert.equal(status === 0, owner === 'off', 'whether others can change the table again');
  });
}

test('a restarted agent removes a VIP that is gone only after a controller has synced', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [dns, web] });
  await node.killAgent('SIGKILL');
  await node.killController('SIGTERM');
  node.writeServices([dns]);
  for (const disk of ['kept', 'lost']) {
    if (disk === 'lost') rmSync(join(node.folder, 'agent'), { recursive: true });
    node.startAgent();
    await node.until(
      'an agent without a controller',
      async () => (await node.status()).controllers.length > 0,
    );
    assert.equal((await node.status()).inSync, false);
    assert.match(node.run('ip address'), /10\.77\.0\.101\/32/);
    assert.match(rulesOf(node), /10\.77\.0\.101/);
    if (disk === 'kept') await node.killAgent('SIGKILL');
  }
  node.startController();
  await node.settled([dns]);
  assert.doesNotMatch(node.run('ip address'), /10\.77\.0\.101/);
  assert.doesNotMatch(rulesOf(node), /10\.77\.0\.101/);
  assert.match(node.run('ip address'), /10\.77\.0\.100\/32/);
});

/** Damage to a table without an owner, or left by an agent that ended between a change and its journal. */
const losses: Readonly<Record<string, string>> = {
  'a missing base chain': 'flush chain inet vipward input; delete chain inet vipward input',
  'a changed policy of a chain': 'chain inet vipward input { policy drop; }',
  'an emptied chain': 'flush chain inet vipward guard4',
};

/** Sorted, because nft lists a chain that was added again after the others. */
function linesOf(node: Node): string[] {
  return node.run('nft -s list table inet vipward').split('\n').sort();
}

for (const [what, words] of Object.entries(losses)) {
  test(`an agent takes over a table without an owner and repairs ${what}`, {
    skip: toPrint || (isXtables && 'legacy tables have no owner'),
  }, async () => {
    await using node = await Node.start({ services: [dns] });
    const before = linesOf(node);
    await node.killAgent('SIGKILL');
    await node.killController('SIGTERM');
    node.run('nft -f -', { input: `${words}\n` });
    await using heard = await monitor(node, 'ip');
    node.startAgent();
    await node.until('it serves', async () => {
      const { vips, problems } = await node.status();
      return problems.length === 0 && vips.length === 2 && vips.every(({ state }) => state === 'serving');
    });
    assert.deepEqual(linesOf(node), before);
    assert.deepEqual(
      (await heard.end()).filter((line) => /^Deleted/.test(line)),
      [],
    );
  });
}

test('a second agent refuses to start, naming the first, and commits nothing', {
  skip: skip || uncounted,
}, async () => {
  await using node = await Node.start({ services: [dns] });
  using sockets = socketsOf(node);
  await using commits = await commitsOf(node, sockets);
  const words = ['--node', 'node2', '--controller', 'ws://127.0.0.1:9470', '--allow', '10.77.0.0/24'];
  const state = ['--state', join(node.folder, 'second'), '--listen', '127.0.0.1:9475'];
  const argv = [process.execPath, program, 'agent', ...words, ...state] as const;
  const trace = join(node.folder, 'second.trace');
  const tracer = isXtables ? tracing(trace, ['-D', ...writing]) : [];
  const second = spawnIn(node.node, [...tracer, ...argv] as [string, ...string[]], life);
  const [said] = await Promise.all([text(second.stderr as NodeJS.ReadableStream), once(second, 'exit')]);
  assert.equal(second.exitCode, 1);
  assert.match(said, new RegExp(`\\bpid ${node.agentPid}\\b`));
  assert.equal((await node.status()).inSync, true);
  assert.equal(await commits.count(), 0);
  if (!isXtables) return;
  const calls = readFileSync(trace, 'utf8');
  assert.match(calls, /exited with 1/);
  assert.equal(writesIn(calls), 0);
});

test('neither the agent nor the controller runs another program', {
  skip: skip || lacks('strace'),
}, async () => {
  await using node = await Node.start({ services: [dns] });
  const pids = [node.controllerPid, node.agentPid];
  const commands = pids.map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1));
  await node.killAgent('SIGTERM');
  await node.killController('SIGTERM');
  const traced = commands.map((command, index) => {
    const file = join(node.folder, `${index}.trace`);
    // With -D the tracer is the child of the program, so that signals reach the program.
    const strace = ['strace', '-D', '-f', '-q', '-e', 'trace=execve,execveat', '-o', file] as const;
    return { file, child: spawnIn(node.node, [...strace, ...command], { ...life, stdio: 'ignore' }) };
  });
  await node.settled([dns]);
  await node.setServices([dns, web]);
  node.run('nft add table ip other');
  node.run('ip link set lan down');
  node.run('ip link set lan up');
  await node.setServices([web]);
  for (const { child, file } of traced) {
    child.kill('SIGTERM');
    const trace = (): string => readFileSync(file, 'utf8');
    const end = new RegExp(`^${child.pid} +\\+\\+\\+ exited with 0`, 'm');
    await node.until('the end', () => end.test(trace()));
    const calls = trace()
      .split('\n')
      .filter((line) => /\bexecve/.test(line));
    assert.equal(calls.length, 1, calls.join('\n'));
  }
});
