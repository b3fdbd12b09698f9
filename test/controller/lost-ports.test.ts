// The status of a Service that shares a VIP and does not get all its ports.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { runningController, service, untilStatus } from './fixture.ts';
import { agentOf } from './test-agent.ts';

const limit = { timeout: 60_000 };
const shared = { annotations: { 'vipward.io/addresses': '10.77.0.100' } };
const ports = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);
/** The time at which a Service was made; the older ones come first. */
const created = (year: number) => ({ created: `${year}-01-01T00:00:00Z` });

test(
  'the status names the first lost port of a Service with its holder, and counts the others',
  limit,
  async (t) => {
    const files = {
      'a.yaml': service('old', { ...shared, ...created(2020), ports: ports(1, 500) }),
      'b.yaml': service('part', { ...shared, ...created(2021), ports: ports(301, 700) }),
      'c.yaml': service('none', { ...shared, ...created(2022), ports: ports(401, 600) }),
      'd.yaml': service('one', { ...shared, ...created(2023), ports: [700, 701] }),
    };
    const running = await runningController(t, { files });
    agentOf(t, running, 'n1');
    await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
    const services = running.status().vips[0]?.services ?? [];
    deepEqual(
      services.map(({ key, state, reason }) => [key, state, reason]),
      [
        ['demo/old', 'serving', 'Announced'],
        ['demo/part', 'serving', 'PortTaken'],
        ['demo/none', 'refused', 'PortTaken'],
        ['demo/one', 'serving', 'PortTaken'],
      ],
    );
    deepEqual(
      services.map((one) => one.ports.map(({ port }) => port)),
      [ports(1, 500), ports(501, 700), [], [701]],
    );
    const said = (port: number, holder: string) =>
      `TCP ${port} of 10.77.0.100 already belongs to demo/${holder}: use another`;
    deepEqual(
      services.map(({ message }) => message),
      [
        '',
        `${said(301, 'old')}; and 199 more of its ports`,
        `${said(401, 'old')}; and 199 more of its ports`,
        said(700, 'part'),
      ],
    );
    running.write('a.yaml', service('old', { ...shared, ...created(2020), ports: ports(1, 300) }));
    await untilStatus(running, ({ vips }) => vips[0]?.services[1]?.message === '');
    equal(running.status().vips[0]?.services[1]?.ports.length, 400);
  },
);
