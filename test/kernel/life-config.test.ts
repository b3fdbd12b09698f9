// An agent whose config file changes while it runs: what can be followed is in force, the rest is named.
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

/** Of these tests alone, for it is held for long. */
const lockFile = '/run/config.lock';
if (isXtables) process.env['XTABLES_LOCKFILE'] = lockFile;

const dns: Service = { name: 'dns', addresses: ['10.77.0.100', 'fd77::100'], ports: ['UDP 53'] };

/** A node whose agent has nothing but a config file. */
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

  /** Writes the file anew; what is not said is as at first. */
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

test('a filter is put on watch and back without a restart, and no declared port loses a packet', {
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
    await node.until('all of it on that, and said', async () => {
      const { filter: said, inSync, problems } = await node.status();
      assert.deepEqual([said, inSync, problems], [filter, true, []]);
      return true;
    });
  }
  assert.equal(await packets.lost(), 0);
});

test('a filter that cannot be changed for now guards as before, and what it guards is served', {
  skip: skip || (!isXtables && 'nobody can keep a table of nf_tables from its owner'),
}, async () => {
  await using configured = await Configured.start();
  const { node } = configured;
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  await using lock = await holdLock(node, lockFile);
  const packets = await prober(node, '10.77.0.100', 53);
  await configured.follow({ filter: 'observe', echo: 'off' });
  await node.until('it is told', async () => /lock/.test((await node.status()).problems.join()));
  const { vips } = await node.status();
  assert.deepEqual(
    vips.map(({ state }) => state),
    ['serving', 'serving'],
  );
  assert.equal(await node.probe('udp', '10.77.0.100', 54), 'closed');
  await lock[Symbol.asyncDispose]();
  await node.until('it is on watch', async () => (await node.probe('udp', '10.77.0.100', 54)) === 'open');
  assert.equal(await packets.lost(), 0);
});

test('a VIP that --allow names no more goes, and comes back with it', { skip }, async () => {
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

test('VIPs move to the interface that is named, and back', { skip }, async () => {
  await using configured = await Configured.start();
  const { node } = configured;
  const isOn = (link: string): boolean => node.run(`ip address show dev ${link}`).includes('10.77.0.100/32');
  assert.ok(isOn('lan'));
  await configured.follow({ interface: ['pods'] });
  await node.until('the VIP on pods', () => isOn('pods') && !isOn('lan'));
  await configured.follow();
  await node.until('the VIP on lan', () => isOn('lan') && !isOn('pods'));
});

test('the log says as much as it is told to, and what needs a restart is named', { skip }, async () => {
  await using configured = await Configured.start();
  const { node, agent } = configured;
  await configured.follow({ logLevel: 'debug', listen: '127.0.0.1:9479', metricsListen: '127.0.0.1:9478' });
  await node.setServices([{ ...dns, ports: ['UDP 54'] }]);
  await agent.says('acknowledged');
  assert.deepEqual((await agent.says('configWaiting'))['waiting'], ['listen', 'metricsListen']);
  assert.equal((await node.status()).node, 'node1');
});

test('a broken file changes nothing, and SIGHUP reads it again', { skip }, async () => {
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
