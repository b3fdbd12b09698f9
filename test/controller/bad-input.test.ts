// Invalid manifests given to a controller that serves: each is refused alone and by name, with the remedy,
// and nothing else changes.

import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import type { Address } from '../../src/state/address.ts';
import { runningController, service, serviceObject, untilStatus } from './fixture.ts';
import { agentOf } from './test-agent.ts';

const limit = { timeout: 20_000 };
const pool = '10.77.0.100-10.77.0.101';
const [first, second] = ['10.77.0.100', '10.77.0.101'] as Address[];
const asks = (address: string) => ({ 'vipward.io/addresses': address });

interface Bad {
  readonly what: string;
  readonly text: string;
  /** The Service that is named, where the document has one. */
  readonly key?: string;
  readonly reason?: string;
  readonly message: RegExp;
}

const inPort = (port: unknown) =>
  `${JSON.stringify({ ...serviceObject('bad'), spec: { type: 'LoadBalancer', ports: [port] } })}\n`;

const bads: readonly Bad[] = [
  { what: 'invalid YAML', text: 'kind: [Service\n', message: /^not YAML: .* at line \d/ },
  {
    what: 'a port of 0',
    text: inPort({ port: 0 }),
    key: 'demo/bad',
    message: /^spec\.ports\[0\]\.port: expected 1-65535, got 0/,
  },
  {
    what: 'a port of 70000',
    text: inPort({ port: 70_000 }),
    key: 'demo/bad',
    message: /^spec\.ports\[0\]\.port: expected 1-65535, got 70000/,
  },
  {
    what: 'an unknown protocol',
    text: inPort({ port: 80, protocol: 'ICMP' }),
    key: 'demo/bad',
    message: /^spec\.ports\[0\]\.protocol: expected TCP, UDP or SCTP, got "ICMP"/,
  },
  {
    what: 'no ports',
    text: service('bad', { ports: [] }),
    key: 'demo/bad',
    reason: 'NoPorts',
    message: /^spec\.ports is empty: declare at least one port/,
  },
  {
    what: 'a requested VIP in no pool',
    text: service('bad', { annotations: asks('10.77.0.1') }),
    key: 'demo/bad',
    reason: 'OutsidePool',
    message: /^10\.77\.0\.1 is in no range of p: widen --pool or ask for another/,
  },
  {
    what: 'a requested VIP that is no address',
    text: service('bad', { annotations: asks('web.example.org') }),
    key: 'demo/bad',
    reason: 'NotSupported',
    message: /"web\.example\.org" is not an address: give an address, or remove it/,
  },
  {
    what: 'the VIP of another namespace',
    text: service('bad', { namespace: 'other', annotations: asks('10.77.0.100') }),
    key: 'other/bad',
    reason: 'AddressTaken',
    message: /^10\.77\.0\.100 belongs to demo\/one: give both one vipward\.io\/sharing-key/,
  },
];

for (const { what, text, key = null, reason, message } of bads) {
  test(`${what} is refused alone and by name, and the refusal ends with its file`, limit, async (t) => {
    const files = { 'a.yaml': service('one'), 'b.yaml': service('two') };
    const running = await runningController(t, { files, argv: ['--pool', `p=${pool}`] });
    const agent = agentOf(t, running, 'n1');
    await untilStatus(running, ({ vips }) => vips.every(({ state }) => state === 'serving'));
    const before = running.status();
    running.write('c.yaml', text);
    const complaints = () => {
      const { problems, refused } = running.status();
      return [...problems.map((problem) => ({ key: problem.service, reason: null, ...problem })), ...refused];
    };
    await untilStatus(running, () => complaints().length > 0);
    for (const complaint of complaints()) {
      equal(complaint.key, key);
      match(complaint.message, message);
    }
    if (reason !== undefined) equal(complaints()[0]?.reason, reason);
    const { vips, seq, synced } = running.status();
    deepEqual([vips, seq, synced], [before.vips, before.seq, true]);
    // Changes of other files are still followed.
    running.write('b.yaml', service('two', { ports: [81] }));
    await agent.until(({ rules }) => rules.get(second ?? first ?? ('' as Address))?.ports[0]?.port === 81);
    running.write('c.yaml', '# nothing is wrong here\n');
    await untilStatus(running, () => complaints().length === 0);
    equal(agent.closed, null);
  });
}

test('a Service without a free address is named, and gets the next one that is freed', limit, async (t) => {
  const files = { 'a.yaml': service('one'), 'b.yaml': service('two') };
  const running = await runningController(t, { files, argv: ['--pool', `p=${pool}`] });
  const agent = agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips.every(({ state }) => state === 'serving'));
  running.write('c.yaml', service('late'));
  await untilStatus(running, ({ refused }) => refused.length === 1);
  const [refusal] = running.status().refused;
  deepEqual([refusal?.key, refusal?.reason], ['demo/late', 'PoolExhausted']);
  match(refusal?.message ?? '', /^no free IPv4 address in p: widen --pool or remove a Service/);
  equal(running.status().vips.filter(({ state }) => state === 'serving').length, 2);
  running.write('a.yaml', '# gone\n');
  await untilStatus(running, ({ refused, vips }) => refused.length === 0 && vips.length === 2);
  await agent.until(({ rules }) => rules.get(first ?? ('' as Address))?.ports[0]?.service === 'demo/late');
});

test('a port of two Services stays with the first, and the other is refused it', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  running.write('b.yaml', service('zeta', { ports: [80, 81], annotations: asks('10.77.0.100') }));
  await untilStatus(running, ({ vips }) => vips[0]?.services.length === 2 && vips[0].state === 'serving');
  const services = running.status().vips[0]?.services ?? [];
  deepEqual(
    services.map(({ key, ports, reason }) => [key, ports.map(({ port }) => port), reason]),
    [
      ['demo/web', [80], 'Announced'],
      ['demo/zeta', [81], 'PortTaken'],
    ],
  );
  match(services[1]?.message ?? '', /^TCP 80 of 10\.77\.0\.100 already belongs to demo\/web: use another/);
});
