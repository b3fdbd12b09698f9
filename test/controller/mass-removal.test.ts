// A mass removal: a reading, or a change of the pools, that removes most VIPs is accepted when it is seen
// twice.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { pbkdf2 } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Catalog } from '../../src/controller/sources/catalog.ts';
import { readDocument } from '../../src/controller/sources/manifest.ts';
import {
  type ControllerSetup,
  configOf,
  folder,
  runningController,
  service,
  type TestController,
  untilStatus,
} from './fixture.ts';
import { agentOf, type TestAgent } from './test-agent.ts';

const limit = { timeout: 20_000 };
const twenty = Array.from({ length: 20 }, (_, index) => service(`s${index}`));

test('a reading that removes most VIPs waits for a second one, other changes do not', limit, async (t) => {
  const massRemovalWaitMs = 4900;
  const timing = { massRemovalWaitMs };
  const running = await runningController(t, { files: { 'a.yaml': twenty.join('---\n') }, timing });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.size === 20);
  const beganMs = performance.now();
  running.write('a.yaml', service('s0', { ports: [81] }));
  await agent.until(({ rules }) => [...rules.values()].some(({ ports }) => ports[0]?.port === 81));
  const { massRemoval, reason } = running.status();
  deepEqual([massRemoval?.vips, reason], [19, 'MassRemoval']);
  // The status rounds up to a whole second.
  const leastMs = massRemovalWaitMs - (performance.now() - beganMs);
  const { secondsLeft = 0 } = massRemoval ?? {};
  ok(secondsLeft >= Math.ceil(leastMs / 1000) && secondsLeft <= 5, `${secondsLeft}`);
  equal(agent.rules.size, 20);
  await agent.until(({ rules }) => rules.size === 1);
  equal(running.status().massRemoval, null);
});

test('a mass removal that is undone in time removes no VIP', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': twenty.join('---\n') } });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.size === 20);
  running.write('a.yaml', '# oops\n');
  await untilStatus(running, ({ massRemoval }) => massRemoval?.vips === 20);
  running.write('a.yaml', twenty.join('---\n'));
  await untilStatus(running, ({ massRemoval }) => massRemoval === null);
  equal(
    agent.heard.some((message) => message.type === 'delta' && message.remove.length > 0),
    false,
  );
});

test('a restart with an emptied folder sends no synced before a second reading agrees', limit, async (t) => {
  const [services, stateDir] = [folder(t), folder(t)];
  const running = await runningController(t, {
    services,
    stateDir,
    files: { 'a.yaml': twenty.join('---\n') },
  });
  const agent = agentOf(t, running, 'n1');
  await untilStatus(
    running,
    ({ vips }) => vips.length === 20 && vips.every(({ state }) => state === 'serving'),
  );
  await agent.close();
  await running.stop();
  rmSync(join(services, 'a.yaml'));
  const timing = { massRemovalWaitMs: 5000 };
  const again = await runningController(t, { services, stateDir, timing });
  const back = agentOf(t, again, 'n1', { hello: { rules: agent.digest('rules') } });
  await back.until(({ heard }) => heard.some(({ type }) => type === 'welcome'));
  deepEqual([again.status().massRemoval?.vips, again.status().synced, back.seq.rules], [20, false, null]);
  equal((await fetch(`${again.url}/readyz`)).status, 503);
  await back.synced();
  equal(back.rules.size, 0);
});

test('--mass-removal now accepts a mass removal at once', limit, async (t) => {
  const argv = ['--mass-removal', 'now'];
  const running = await runningController(t, { files: { 'a.yaml': twenty.join('---\n') }, argv });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.size === 20);
  running.write('a.yaml', '# all gone\n');
  await agent.until(({ rules }) => rules.size === 0);
});

const elsewhere = { 'vipward.io/pool': 'nowhere' };
const twentyElsewhere = Array.from({ length: 20 }, (_, index) =>
  service(`s${index}`, { annotations: elsewhere }),
);

/** A controller whose twenty VIPs are served. */
async function serving(
  t: TestContext,
  setup: ControllerSetup = {},
): Promise<{ running: TestController; agent: TestAgent }> {
  const running = await runningController(t, { files: { 'a.yaml': twenty.join('---\n') }, ...setup });
  const agent = agentOf(t, running, 'n1');
  await untilStatus(
    running,
    ({ vips }) => vips.length === 20 && vips.every(({ state }) => state === 'serving'),
  );
  return { running, agent };
}

function addressesOf({ controller }: TestController): Record<string, readonly string[]> {
  return Object.fromEntries(controller.allocator.assigned);
}

/** Another --pool, as from a config file that changed. */
async function repool(running: TestController, range: string): Promise<void> {
  running.follow(await configOf(['--services', running.services, '--pool', `p=${range}`]));
}

function hasRemoved({ heard }: TestAgent): boolean {
  return heard.some((message) => message.type === 'delta' && message.remove.length > 0);
}

test(
  'annotations that would remove most VIPs wait for a second reading, and other changes do not',
  limit,
  async (t) => {
    const { running, agent } = await serving(t, { timing: { massRemovalWaitMs: 3000 } });
    running.write('a.yaml', ...twentyElsewhere, service('new', { ports: [81] }));
    await agent.until(({ rules }) => rules.size === 21);
    deepEqual([running.status().massRemoval?.vips, running.status().reason], [20, 'MassRemoval']);
    equal(hasRemoved(agent), false);
    await agent.until(({ rules }) => rules.size === 1);
    deepEqual([running.status().massRemoval, running.status().refused.length], [null, 20]);
  },
);

test('rewriting all files of a folder one by one is one mass removal', limit, async (t) => {
  const files = Object.fromEntries(twenty.map((text, index) => [`s${index}.yaml`, text]));
  const { running, agent } = await serving(t, { files });
  for (const [index, text] of twentyElsewhere.entries()) running.write(`s${index}.yaml`, text);
  await untilStatus(running, ({ massRemoval }) => massRemoval?.vips === 20);
  equal(hasRemoved(agent), false);
});

test('rewriting all files is one mass removal even if half of them are read later', limit, async (t) => {
  const files = Object.fromEntries(twenty.map((text, index) => [`s${index}.yaml`, text]));
  const { running, agent } = await serving(t, { files });
  const half = twentyElsewhere.length / 2;
  for (const [index, text] of twentyElsewhere.entries()) {
    if (index === half) {
      await sleep(50);
      // Files are read by four threads.
      for (let thread = 0; thread < 4; thread++) pbkdf2('', '', 1_000_000, 1, 'sha256', () => undefined);
    }
    running.write(`s${index}.yaml`, text);
  }
  await untilStatus(running, ({ massRemoval }) => massRemoval?.vips === 20);
  equal(hasRemoved(agent), false);
});

test('a file that takes addresses from a Service is read twice, one that changes its ports once', () => {
  const catalog = new Catalog();
  const read = (text: string) => [readDocument(JSON.parse(text))];
  catalog.update('a.yaml', read(service('web')));
  const loses = (text: string) => catalog.loses('a.yaml', read(text));
  deepEqual(
    [
      service('web', { annotations: elsewhere }),
      service('web', { ports: [] }),
      service('other'),
      service('web', { ports: [81] }),
      service('web', { spec: { externalTrafficPolicy: 'Local' } }),
    ].map(loses),
    [true, true, true, false, false],
  );
});

test('annotations that are undone in time remove no VIP', limit, async (t) => {
  const { running, agent } = await serving(t);
  const before = addressesOf(running);
  running.write('a.yaml', ...twentyElsewhere);
  await untilStatus(running, ({ massRemoval }) => massRemoval?.vips === 20);
  running.write('a.yaml', ...twenty);
  await untilStatus(running, ({ massRemoval }) => massRemoval === null);
  deepEqual([hasRemoved(agent), running.status().refused, addressesOf(running)], [false, [], before]);
});

test(
  'pools without most of the VIPs wait for a second reading, and pools put back remove no VIP',
  limit,
  async (t) => {
    const { running, agent } = await serving(t, { timing: { massRemovalWaitMs: 3000 } });
    const before = addressesOf(running);
    await repool(running, '10.77.0.10-10.77.0.50');
    equal(running.status().massRemoval?.vips, 20);
    await repool(running, '10.77.0.100-10.77.0.199');
    equal(running.status().massRemoval, null);
    deepEqual([hasRemoved(agent), addressesOf(running)], [false, before]);
    await repool(running, '10.77.0.10-10.77.0.50');
    running.write('b.yaml', service('new'));
    await agent.until(({ rules }) => rules.size === 21);
    equal(running.status().massRemoval?.vips, 20);
    await agent.until(
      ({ rules }) => rules.size === 21 && [...rules.keys()].every((key) => /\.\d\d$/.test(key)),
    );
  },
);

test(
  'a start with pools that have none of the VIPs is not synced before a second reading agrees',
  limit,
  async (t) => {
    const [services, stateDir] = [folder(t), folder(t)];
    const { running } = await serving(t, { services, stateDir });
    const before = addressesOf(running);
    await running.stop();
    const argv = ['--pool', 'p=10.77.0.10-10.77.0.50'];
    const again = await runningController(t, { services, stateDir, argv });
    deepEqual([again.status().massRemoval?.vips, again.status().synced], [20, false]);
    await repool(again, '10.77.0.100-10.77.0.199');
    deepEqual([again.status().synced, addressesOf(again)], [true, before]);
  },
);

test('a Service that was refused gets its former address again, even after a restart', limit, async (t) => {
  const [services, stateDir] = [folder(t), folder(t)];
  const files = { 'a.yaml': service('a'), 'b.yaml': service('b') };
  const running = await runningController(t, { services, stateDir, files });
  const [one, two] = ['a', 'b'].map((name) => service(name, { annotations: elsewhere }));
  running.write('a.yaml', one ?? '');
  running.write('b.yaml', two ?? '');
  await untilStatus(running, ({ refused, vips }) => refused.length === 2 && vips.length === 0);
  running.write('b.yaml', service('b'));
  await untilStatus(running, ({ vips }) => vips[0]?.address === '10.77.0.101');
  await running.stop();
  const again = await runningController(t, { services, stateDir });
  again.write('a.yaml', service('a'));
  await untilStatus(again, ({ vips }) => vips.length === 2);
  deepEqual(addressesOf(again), { 'demo/a': ['10.77.0.100'], 'demo/b': ['10.77.0.101'] });
});
