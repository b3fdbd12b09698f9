// `vipward status` against a real controller, and the tables of an agent.

import { deepEqual, doesNotMatch, equal, match } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runningController, service, untilStatus } from '../controller/fixture.ts';
import { agentOf } from '../controller/test-agent.ts';
import { cannotUnshare, Namespace, runIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { run, startStub } from './stub.ts';

const limit = { timeout: 60_000 };

test('-o json has the documented members, and the wide table the term', limit, async (t) => {
  const running = await runningController(t, {
    files: { 'a.yaml': service('web', { ports: [80, '53/UDP'] }) },
  });
  agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  await untilStatus(running, ({ nodes, seq }) => nodes[0]?.seq === seq);
  const where = ['--controller', running.url];
  const { vips, nodes } = JSON.parse((await run(['status', '-o', 'json', ...where])).out);
  const [{ address, node, term, state, reason, services }] = vips;
  deepEqual(
    [address, node, term, state, reason],
    ['10.77.0.100', 'n1', { generation: 1, n: 1 }, 'serving', 'Announced'],
  );
  deepEqual(services, [
    {
      key: 'demo/web',
      ports: [
        { protocol: 'TCP', port: 80 },
        { protocol: 'UDP', port: 53 },
      ],
      state: 'serving',
      reason: 'Announced',
      message: '',
    },
  ]);
  deepEqual([nodes[0].name, nodes[0].connected, typeof nodes[0].seq], ['n1', true, 'number']);
  equal('lagMs' in nodes[0], true);
  const wide = await run(['status', '-o', 'wide', ...where]);
  match(wide.out, /^10\.77\.0\.100 +n1 +serving +Announced +80\/tcp 53\/udp +- +demo\/web +1\.1 +-$/m);
});

test('the tables name every refusal, problem and delay with the remedy', limit, async (t) => {
  const running = await runningController(t, {
    files: { 'a.yaml': service('web') },
    timing: { massRemovalWaitMs: 3_600_000 },
  });
  const asked = { 'vipward.io/addresses': '10.77.0.100' };
  running.write('b.yaml', service('zeta', { ports: [80, 81], annotations: asked }));
  running.write('c.yaml', service('far', { annotations: { 'vipward.io/addresses': '192.0.2.1' } }));
  running.write('d.yaml', 'kind: [Service\n');
  await untilStatus(
    running,
    ({ refused, problems, vips }) =>
      refused.length === 1 && problems.length === 1 && vips[0]?.services.length === 2,
  );
  const { out } = await run(['status', '--controller', running.url]);
  match(out, /^demo\/far +OutsidePool +192\.0\.2\.1 is in no range of p: widen --pool or ask for another$/m);
  match(out, /^demo\/zeta +PortTaken +TCP 80 of 10\.77\.0\.100 already belongs to demo\/web: use another$/m);
  match(out, /^\S+\/d\.yaml +0 +- +not YAML: /m);
  for (let index = 0; index < 12; index++) running.write(`m${index}.yaml`, service(`m${index}`));
  await untilStatus(running, ({ vips }) => vips.length === 13);
  for (let index = 0; index < 12; index++) running.write(`m${index}.yaml`, '');
  await untilStatus(running, ({ massRemoval }) => massRemoval !== null);
  const held = await run(['status', '--controller', running.url]);
  match(
    held.out,
    /^MassRemoval: 12 VIPs would be removed at once; accepted in 3\d{3} s if a second reading agrees$/m,
  );
});

test('status reports a raised generation with the node that caused it', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  await agentOf(t, running, 'n2', { hello: { generation: 41 } }).synced();
  const { out } = await run(['status', '--controller', running.url]);
  match(out, /^GenerationRaised: from 1 to 42, \d+ s ago, since n2 knew 41; check .* are an old backup$/m);
});

test('the wide table has closed streams and refused connections with the reason', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const agent = agentOf(t, running, 'n1');
  await agent.synced();
  agent.send({ type: 'goodnight' });
  await agent.untilClosed();
  const stranger = agentOf(t, running, 'n2', { hello: { generation: 2 ** 52 } });
  await stranger.untilClosed();
  await untilStatus(
    running,
    ({ nodes, refusedStreams }) => nodes[0]?.lastClosed && refusedStreams.length === 1,
  );
  const { out } = await run(['status', '-o', 'wide', '--controller', running.url]);
  match(out, /^n1 +gone +nftables +.* +1008 type: expected hello, .*, got "goodnight", \d+ s ago$/m);
  match(out, /^- +1008 generation: ImpossibleTerm: \d+, here is 1, \d+ s ago$/m);
});

test('a VIP with many ports or Services does not widen all rows', async () => {
  const ports = Array.from({ length: 20_000 }, (_, index) => ({ protocol: 'TCP', port: index + 1 }));
  const services = Array.from({ length: 9 }, (_, index) => ({
    key: `a/s${index}`,
    ports: index === 0 ? ports : [],
    state: 'serving',
    reason: 'Announced',
  }));
  const vip = {
    address: '10.0.0.10',
    node: 'n1',
    term: null,
    state: 'serving',
    reason: 'Announced',
    filtered: true,
  };
  const answer = { synced: true, vips: [{ ...vip, services }], nodes: [] };
  await using controller = await startStub({ 'GET /api/v1/status': [200, answer] });
  const { out } = await run(['status', '--controller', controller.url]);
  match(out, / 1\/tcp 2\/tcp .* 8\/tcp \+19992 .* a\/s0,a\/s1,.*,a\/s7,\+1$/m);
});

test('a node that is gone and still drained is shown as both', async () => {
  const node = { connected: false, drained: true, late: false, firewall: 'nftables', seq: null, lagMs: null };
  const nodes = [
    { ...node, name: 'n1' },
    { ...node, name: 'n2', drained: false },
  ];
  await using controller = await startStub({
    'GET /api/v1/status': [200, { synced: true, vips: [], nodes }],
  });
  const { out } = await run(['status', '--controller', controller.url]);
  match(out, /^n1 +drained, gone +nftables/m);
  match(out, /^n2 +gone +nftables/m);
});

test('status begins with NotComplete if a controller could not read its Services', limit, async (t) => {
  const running = await runningController(t, { files: { 'd.yaml': 'kind: [Service\n' } });
  match((await run(['status', '--controller', running.url])).out, /^not synced: NotComplete\n/);
  writeFileSync(join(running.services, 'd.yaml'), service('web'));
  await untilStatus(running, ({ synced }) => synced);
});

test('the table of an agent has its controllers, refusals and problems', async () => {
  const message = '10.0.0.10 is outside --allow 10.1.0.0/16; add its prefix there';
  const answer = {
    node: 'a',
    firewall: 'nftables',
    inSync: false,
    problems: ['journal: disk full'],
    controllers: [{ url: 'ws://c:9470', state: 'refused', reason: 'cluster: another' }],
    vips: [
      {
        address: '10.0.0.10',
        held: false,
        term: { generation: 2, n: 9 },
        state: 'refused',
        reason: 'Forbidden',
        message,
        ports: [],
        dropped: null,
      },
    ],
  };
  await using agent = await startStub({ 'GET /status': [200, answer] });
  const { out } = await run(['status', '--agent', agent.url, '-o', 'wide']);
  match(out, /^ws:\/\/c:9470 +refused +cluster: another$/m);
  match(out, /^10\.0\.0\.10 +Forbidden +10\.0\.0\.10 is outside --allow/m);
  match(out, /^problem: journal: disk full$/m);
  match(out, / 2\.9 +10\.0\.0\.10 is outside/);
});

test('a VIP that waits for a probe is listed under WAITS, and not as refused', async () => {
  const message = 'lan has no carrier: the agent cannot ask whether another host has 10.0.0.10, and waits';
  const vip = { address: '10.0.0.10', held: false, term: null, reason: '', ports: [], dropped: null };
  const answer = {
    node: 'a',
    firewall: 'nftables',
    inSync: true,
    vips: [{ ...vip, state: 'pending', message }],
  };
  await using agent = await startStub({ 'GET /status': [200, answer] });
  const { out } = await run(['status', '--agent', agent.url]);
  match(out, /^WAITS +MESSAGE\n10\.0\.0\.10 +lan has no carrier: /m);
  doesNotMatch(out, /REFUSED/);
});

test('status without a local controller and agent names both', { skip: cannotUnshare() }, () => {
  using host = Namespace.make();
  const { status, stdout, stderr } = runIn(host, [process.execPath, program, 'status']);
  deepEqual([status, stdout], [3, '']);
  match(stderr, /controller at http:\/\/127\.0\.0\.1:9470: .*ECONNREFUSED.*VIPWARD_CONTROLLER; /);
  match(stderr, /agent at http:\/\/127\.0\.0\.1:9471: .*ECONNREFUSED.*VIPWARD_AGENT\n$/);
});
