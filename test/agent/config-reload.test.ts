// A config that is reloaded while the kernel cannot be probed: its changes are in force once it can.
import { deepEqual, equal, match } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Allowed } from '../../src/agent/addresses/allowed.ts';
import type { Network } from '../../src/agent/addresses/network.ts';
import { type AgentConfig, agentConfig, agentOptions } from '../../src/agent/config.ts';
import { ConfigReload } from '../../src/agent/config-reload.ts';
import type { Firewall } from '../../src/agent/firewall/firewall.ts';
import { nftablesFirewall } from '../../src/agent/firewall/nftables.ts';
import type { Loop } from '../../src/agent/loop.ts';
import type { Session } from '../../src/agent/stream/session.ts';
import type { Kernel } from '../../src/host/kernel.ts';
import { Errno } from '../../src/netlink/message.ts';
import { readOptions } from '../../src/process/options.ts';
import { logLines } from '../log-lines.ts';

async function configOf(filter: 'observe' | 'enforce', more: readonly string[] = []): Promise<AgentConfig> {
  const argv = ['--node', 'node1', '--controller', 'ws://127.0.0.1:9470', '--allow', '10.77.0.0/24'];
  const { values } = await readOptions(agentOptions, {
    argv: [...argv, '--filter', filter, ...more],
    env: {},
  });
  return agentConfig(values);
}

/** A reload whose kernel answers the probe with `errno`; with 0 it supports everything. */
async function roomOf(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const config = await configOf('observe');
  const options = { wish: 'nftables', observe: true, counters: false, echo: true, owner: true } as const;
  const firewall: Firewall = nftablesFirewall(undefined, options);
  const [doubts, { log, lines }] = [[] as string[], logLines()];
  const room = { errno: 0, doubts, lines, firewall, config };
  const kernel = {
    ask: async () => new Uint8Array(),
    portId: () => 1,
    commit: () => (room.errno === 0 ? [] : [{ object: null, errno: room.errno, words: '' }]),
  } as Partial<Kernel> as Kernel;
  const reload = new ConfigReload(
    {
      kernel,
      firewall,
      log,
      allowed: new Allowed(config.allow),
      network: {} as Network,
      session: {} as Session,
      loop: { doubt: (reason: string) => void doubts.push(reason) } as Partial<Loop> as Loop,
    },
    config,
  );
  t.after(() => reload[Symbol.dispose]());
  return Object.assign(room, { reload });
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a new --filter takes effect as soon as the kernel can be probed for it', async (t) => {
  const room = await roomOf(t);
  const { reload, firewall, lines } = room;
  const before = firewall.dialect;
  const enforce = await configOf('enforce');
  room.errno = Errno.ENOMEM;
  reload.follow(enforce);
  await settled();
  match(reload.trouble, /not in force, and the agent retries: .*ENOMEM/);
  t.mock.timers.tick(1000);
  await settled();
  equal(firewall.dialect, before);
  equal(reload.config, room.config);
  room.errno = 0;
  t.mock.timers.tick(2000);
  await settled();
  equal(reload.config.values.filter, 'enforce');
  deepEqual([firewall.dialect === before, room.doubts, reload.trouble], [false, ['config'], '']);
  // Logged once, however often it was tried.
  deepEqual(
    lines.map(({ event }) => event),
    ['configPutOff', 'configRead'],
  );
});

test('a later config replaces one that was put off, and the retries end', async (t) => {
  const room = await roomOf(t);
  const { reload, lines } = room;
  room.errno = Errno.EBUSY;
  reload.follow(await configOf('enforce'));
  await settled();
  room.errno = 0;
  reload.follow(await configOf('observe', ['--listen', '127.0.0.1:9479']));
  await settled();
  equal(reload.trouble, '');
  t.mock.timers.tick(120_000);
  await settled();
  equal(reload.config.values.filter, 'observe');
  deepEqual(
    lines.map(({ event, changed, waiting }) => [event, changed ?? waiting]),
    [
      ['configPutOff', undefined],
      ['configRead', []],
      ['configWaiting', ['listen']],
    ],
  );
});

test('a config that is put off while the agent ends is not retried', async (t) => {
  const room = await roomOf(t);
  const { reload, doubts } = room;
  room.errno = Errno.ENOMEM;
  reload.follow(await configOf('enforce'));
  reload[Symbol.dispose]();
  await settled();
  match(reload.trouble, /not in force/);
  room.errno = 0;
  t.mock.timers.tick(120_000);
  await settled();
  deepEqual(doubts, []);
});
