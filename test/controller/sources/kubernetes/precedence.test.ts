// A controller that begins to rule over many VIPs writes to the API once agents hold them, or after a time
// limit.

import { deepEqual, equal } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parsePools } from '../../../../src/controller/allocation/pools.ts';
import { Controller } from '../../../../src/controller/controller.ts';
import { noRecords } from '../../../../src/controller/records/records.ts';
import { Sessions } from '../../../../src/controller/sessions.ts';
import { fewVips, mostWaitMs, Precedence } from '../../../../src/controller/sources/kubernetes/precedence.ts';
import type { Hello } from '../../../../src/protocol/messages.ts';
import { parsePrefix } from '../../../../src/state/address.ts';
import { untilTrue } from '../../../patience.ts';
import { serviceObject, untilStatus } from '../../fixture.ts';
import { servicesOf } from '../../ruling.ts';
import { agentOf } from '../../test-agent.ts';
import { controllerOf, FakeCluster } from './fake-cluster.ts';

const quiet = () => undefined;

/** A controller that has read its Services, and one node that has committed the rules. */
function ruling(t: TestContext, count: number) {
  const abort = new AbortController();
  t.after(() => abort.abort());
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const clock = { nowMs: 0, overs: 0 };
  const controller = new Controller({
    records: { ...noRecords, cluster: 'c', generation: 1 },
    pools: parsePools(['p=10.64.0.0/16']),
    filterByDefault: true,
    onChange: quiet,
    nowMs: () => clock.nowMs,
  });
  const onOver = () => clock.overs++;
  const precedence = new Precedence({
    controller,
    signal: abort.signal,
    nowMs: () => clock.nowMs,
    onOver,
  });
  const pass = (ms: number) => {
    clock.nowMs += ms;
    t.mock.timers.tick(ms);
  };
  const publish = () => controller.publish({ set: servicesOf(count), remove: [] });
  const connect = (node = 'a') => {
    const quietly = { generationRaised: quiet, refused: quiet, impossibleTerm: quiet, progressed: quiet };
    const sessions = new Sessions(controller, quietly);
    const session = sessions.open({ ...hello, node }, { send: quiet, bufferedAmount: 0 });
    sessions.begin(session);
    const commit = () => {
      const { seq } = controller.rules;
      equal(sessions.message(session, { type: 'ack', table: 'rules', seq, commitUs: 1 }), null);
    };
    return { sessions, session, commit };
  };
  const join = () => {
    const { sessions, session, commit } = connect();
    commit();
    controller.owners.settle();
    return (vips: number) => {
      const set = [...controller.owners.all].slice(0, vips).map(([address, { term }]) => ({ address, term }));
      equal(sessions.message(session, { type: 'heldDelta', set, remove: [] }), null);
    };
  };
  return { controller, precedence, clock, pass, publish, connect, join };
}

const hello: Hello = {
  type: 'hello',
  version: '0',
  features: [],
  node: 'a',
  firewall: 'nftables',
  cluster: 'c',
  allow: [parsePrefix('10.64.0.0/16')],
  onLink: [parsePrefix('10.64.0.0/16')],
  held: [],
  generation: 0,
  rules: { count: 0, digests: {} },
  placements: { count: 0, digests: {} },
};

test('a few VIPs do not delay writes', (t) => {
  const { precedence, publish } = ruling(t, fewVips);
  publish();
  equal(precedence.mayWrite, true);
});

test('writes wait until many VIPs are held, and then onOver is called once', async (t) => {
  const { controller, precedence, clock, pass, publish, connect, join } = ruling(t, fewVips + 1);
  equal(precedence.mayWrite, true, 'nothing was published');
  publish();
  equal(precedence.mayWrite, false, 'no agent is connected yet');
  const hold = join();
  await untilTrue(() => controller.owners.all.size > fewVips);
  equal(precedence.mayWrite, false);
  hold(fewVips);
  pass(1000);
  equal(precedence.mayWrite, false, 'one VIP is not held yet');
  hold(fewVips + 1);
  const { commit } = connect('late');
  pass(1000);
  equal(precedence.mayWrite, false, 'one node has not committed the rules yet');
  commit();
  equal(clock.overs, 0);
  pass(200);
  equal(precedence.mayWrite, true);
  pass(1000);
  equal(clock.overs, 1);
});

test('a node that does not take its VIPs delays writes for a limited time', (t) => {
  const { precedence, clock, pass, publish, join } = ruling(t, fewVips + 1);
  publish();
  equal(precedence.mayWrite, false);
  join();
  pass(mostWaitMs - 1);
  equal(precedence.mayWrite, false);
  pass(201);
  equal(precedence.mayWrite, true);
  equal(clock.overs, 1);
});

test('a controller of many VIPs writes to the API server once its agent holds them', async (t) => {
  const cluster = await new FakeCluster().listen(t);
  const services = Array.from({ length: fewVips + 1 }, (_, index) => {
    const object = serviceObject(`web-${index}`) as { readonly metadata: object };
    return { ...object, metadata: { ...object.metadata, uid: 'u', resourceVersion: '1' } };
  });
  cluster.objects.set('/api/v1/services', services);
  const running = await controllerOf(t, cluster, '--pool', 'q=10.64.0.0/16');
  await untilStatus(running, ({ reason }) => reason === null);
  const { allow, onLink } = hello;
  const agent = agentOf(t, running, 'a', { acks: false, hello: { allow, onLink } });
  await agent.synced();
  await sleep(500);
  const written = () => cluster.written.filter(({ path }) => !path.includes('/leases'));
  deepEqual(written(), []);
  agent.acks = true;
  agent.commit('rules');
  await untilTrue(() => written().length > fewVips);
});
