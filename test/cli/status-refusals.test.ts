// Refusals by nodes, and ignored objects, in the tables of a controller.
import { deepEqual, doesNotMatch, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { controllerText } from '../../src/cli/status-text.ts';
import { runningController, service, untilStatus } from '../controller/fixture.ts';
import { agentOf } from '../controller/test-agent.ts';
import { run, startStub } from './stub.ts';

const limit = { timeout: 60_000 };

test('the table has a refusal of a node even if the node serves the VIP', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const agent = agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const reason = '10.77.0.100: ENFILE: a set is full';
  const refused = { type: 'refused', table: 'rules', key: '10.77.0.100', services: [] } as const;
  agent.send({ ...refused, code: 'KernelRefused', reason });
  await untilStatus(running, ({ nodes }) => nodes[0]?.refusals.length === 1);
  const { out } = await run(['status', '--controller', running.url]);
  match(out, /^REFUSED VIP +BY NODE +REASON +MESSAGE\n10\.77\.0\.100 +n1 +KernelRefused +.*ENFILE: a set/m);
});

test('of 300 refusals the table has 20 rows, and the number of the others', async () => {
  const refusals = Array.from({ length: 300 }, (_, index) => {
    return { table: 'rules', key: `10.0.1.${index}`, code: 'Forbidden', reason: 'outside --allow' };
  });
  const nodes = [{ name: 'n1', connected: true, seq: 1, lagMs: null, refusals }];
  await using controller = await startStub({ 'GET /api/v1/status': [200, { vips: [], nodes }] });
  const { out } = await run(['status', '--controller', controller.url]);
  deepEqual(out.match(/ Forbidden /g)?.length, 20);
  match(out, /^and 280 more: -o json has all of them$/m);
});

test('the wide table counts ignored objects', limit, async (t) => {
  const files = {
    'a.yaml': service('web'),
    'b.yaml': service('inside', { spec: { type: 'ClusterIP' } }),
    'c.yaml': service('also', { spec: { type: 'ClusterIP' } }),
    'd.yaml': 'kind: Secret\n',
  };
  const { url } = await runningController(t, { files });
  const { out } = await run(['status', '-o', 'wide', '--controller', url]);
  match(out, /^ignored: Service of type ClusterIP \(2\), Secret \(1\)$/m);
  doesNotMatch((await run(['status', '--controller', url])).out, /ignored/);
});

test('one refusal and one kind that is ignored are shown, and nothing where there is none', () => {
  const text = (more: object) => controllerText({ vips: [], nodes: [], ...more }, 'wide', null);
  const bare = text({});
  equal(text({ ignored: {} }), bare);
  equal(text({ ignored: { Ingress: 3 } }), `${bare}\nignored: Ingress (3)\n`);
  const node = { name: 'n1', connected: true, seq: 1, lagMs: 1 };
  const refusal = { key: '10.0.0.1', code: 'Forbidden', reason: 'no' };
  match(text({ nodes: [{ ...node, refusals: [refusal] }] }), /\n10\.0\.0\.1 +n1 +Forbidden +no\n$/);
});

test('a VIP outside --allow of a node is no row while another node has it', () => {
  const refusal = { key: '10.0.0.1', code: 'Forbidden', reason: 'no' };
  const node = {
    connected: true,
    seq: 1,
    lagMs: 1,
    refusals: [refusal, { ...refusal, code: 'KernelRefused' }],
  };
  const nodes = [
    { name: 'n1', ...node },
    { name: 'n2', ...node },
  ];
  const vip = { address: '10.0.0.1', term: null, state: 'serving', reason: '', services: [] };
  const rows = (of: string | null) => {
    const out = controllerText({ vips: [{ ...vip, node: of }], nodes }, 'table', null);
    return [...out.matchAll(/^10\.0\.0\.1 +(\S+) +(\S+) +no$/gm)].map(([, name, code]) => `${name} ${code}`);
  };
  deepEqual(rows(null), ['n1 Forbidden', 'n1 KernelRefused', 'n2 Forbidden', 'n2 KernelRefused']);
  deepEqual(rows('n2'), ['n1 KernelRefused', 'n2 Forbidden', 'n2 KernelRefused']);
});
