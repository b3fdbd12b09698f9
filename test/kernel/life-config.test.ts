// An agent whose config file changes while it runs applies what it can and names the rest.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Started } from '../agent/alone.ts';
import { prober } from '../agent/life.ts';
import { spawnIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { isXtables, rulesOf } from './firewall.ts';
import { holdLock } from './hold-lock.ts';
import { Node, type Service, skip } from './node.ts';

/** A lock of these tests alone, because it is held for long. */
const lockFile = '/run/config.lock';
if (isXtables) process.env['XTABLES_LOCKFILE'] = lockFile;

const dns: Service = { name: 'dns', addresses: ['10.77.0.100', 'fd77::100'], ports: ['UDP 53'] };

/** A node whose agent takes all options from a config file. */
class Configured implements AsyncDisposable {
  readonly node: Node;
  readonly agent: Started;
  readonly #path: string;

  private constructor(node: Node) {
    this.node = node;
    this.#path = join(node.folder, 'agent.yaml');
    this.write();
    const argv = [process.execPath, program, 'agent', '--config', this.#path] as const;
    this.agent = new Started(spawnIn(node.node, argv, { timeout: 120_000, killSignal: 'SIGKILL' }));
  }

  static async start(): Promise<Configured> {
    const node = await Node.start({ services: [dns] });
    await node.killAgent('SIGTERM');
    const made = new Configured(node);
    await made.agent.says('serving');
    await node.settled([dns]);
    return made;
  }

  /** Writes the file anew; options that are not given have their first values. */
  write(more: object | string = {}): void {
    const first = {
      node: 'node1',
      controller: 'ws://127.0.0.1:9470',
      state: join(this.node.folder, 'agent'),
    };
    const config = { ...first, allow: ['10.77.0.0/24', 'fd77::/64'], commitInterval: '0' };
    writeFileSync(this.#path, typeof more === 'string' ? more : JSON.stringify({ ...config, ...more }));
  }

  /** Writes it and waits until the agent has read it. */
  async follow(more: object = {}): Promise<Record<string, unknown>> {
    const before = this.agent.events('configRead').length;
    this.write(more);
    return await this.agent.says('configRead', before + 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.agent.child.kill('SIGTERM');
    await this.agent.ended();
    await this.node.stop();
  }
}

test('the filter changes to observe and back without a restart, and no declared port loses a packet', {
  skip,
}, async () => {
  await using configured = await Configured.start();
  const { node } = configured;
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  const packets = await prober(node, '10.77.0.100', 53);
  const undeclared = (): Promise<string> => node.probe('udp', '10.77.0.100', 54);
  assert.equal(await undeclared(), 'closed');
  for (const [filter, meets] of [
    ['observe', 'open'],
    ['enforce', 'closed'],
  ] as const) {
    assert.deepEqual((await configured.follow({ filter }))['changed'], ['filter']);
    await node.until(`a filter on ${filter}`, async () => (await undeclared()) === meets);
    // Several tables change one after the other.
    await node.until('all tables and the status agree', async () => {
      const { filter: said, inSync, problems } = await node.status();
      assert.deepEqual([said, inSync, problems], [filter, true, []]);
      return true;
    });
  }
  assert.equal(await packets.lost(), 0);
});

test('while a held lock delays a filter change the old filter guards, and the VIPs are served', {
  skip: skip || (!isXtables && 'no program can lock a table of nf_tables against its owner'),
}, async () => {
  await using configured = await Configured.start();
  const { node } = configured;
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  await using lock = await holdLock(node, lockFile);
  const packets = await prober(node, '10.77.0.100', 53);
  await configured.follow({ filter: 'observe', echo: 'off' });
  await node.until('the problem is reported', async () => /lock/.test((await node.status()).problems.join()));
  const { vips } = await node.status();
  assert.deepEqual(
    vips.map(({ state }) => state),
    ['serving', 'serving'],
  );
  assert.equal(await node.probe('udp', '10.77.0.100', 54), 'closed');
  await lock[Symbol.asyncDispose]();
  await node.until(
    'the filter observes',
    async () => (await node.probe('udp', '10.77.0.100', 54)) === 'open',
  );
  assert.equal(await packets.lost(), 0);
});

test('the agent removes a VIP that --allow no longer covers, and takes it again when it does', {
  skip,
}, async () => {
  await using configured = await Configured.start();
  const { node } = configured;
  const stateOf = async (address: string): Promise<string> =>
    (await node.status()).vips.find((vip) => vip.address === address)?.state ?? '';
  await configured.follow({ allow: ['fd77::/64'] });
  await node.until('a refusal', async () => (await stateOf('10.77.0.100')) === 'refused');
  assert.equal(await stateOf('fd77::100'), 'serving');
  await node.until('no address', () => !node.run('ip address').includes('10.77.0.100/32'));
  await node.until('no rules of it', () => !rulesOf(node).includes('10.77.0.100'));
  assert.ok(rulesOf(node).includes('fd77::100'));
  await node.until('the controller knows', async () => {
    const { vips } = await node.controllerStatus();
    return vips.find(({ address }) => address === '10.77.0.100')?.state !== 'serving';
  });
  await configured.follow();
  await node.settled([dns]);
  await node.until('it is back', async () => (await stateOf('10.77.0.100')) === 'serving');
});

test('VIPs move to the interface that the config file names, and back', { skip }, async () => {
  await using configured = await Configured.start();
  const { node } = configured;
  const isOn = (link: string): boolean => node.run(`ip address show dev ${link}`).includes('10.77.0.100/32');
  assert.ok(isOn('lan'));
  await configured.follow({ interface: ['pods'] });
  await node.until('the VIP on pods', () => isOn('pods') && !isOn('lan'));
  await configured.follow();
  await node.until('the VIP on lan', () => isOn('lan') && !isOn('pods'));
});

test('a new log level applies at once, and the log names the options that need a restart', {
  skip,
}, async () => {
  await using configured = await Configured.start();
  const { node, agent } = configured;
  await configured.follow({ logLevel: 'debug', listen: '127.0.0.1:9479', metricsListen: '127.0.0.1:9478' });
  await node.setServices([{ ...dns, ports: ['UDP 54'] }]);
  await agent.says('acknowledged');
  assert.deepEqual((await agent.says('configWaiting'))['waiting'], ['listen', 'metricsListen']);
  assert.equal((await node.status()).node, 'node1');
});

test('the agent refuses a broken config file and keeps its options, and SIGHUP reads the file again', {
  skip,
}, async () => {
  await using configured = await Configured.start();
  const { node, agent } = configured;
  const before = node.run('ip -o address');
  for (const [index, [text, reason]] of (
    [
      ['filter: maybe', /filter: expected enforce or observe/],
      ['{', /^--config .*agent\.yaml: /],
      ['filter: observe', /--controller is missing/],
    ] as const
  ).entries()) {
    configured.write(text);
    assert.match(String((await agent.says('configRefused', index + 1))['reason']), reason);
  }
  assert.equal((await node.status()).filter, 'enforce');
  assert.equal(node.run('ip -o address'), before);
  const { length } = await configured.follow().then(() => agent.events('configRead'));
  agent.child.kill('SIGHUP');
  assert.deepEqual((await agent.says('configRead', length + 1))['changed'], []);
  assert.equal((await node.status()).inSync, true);
});
