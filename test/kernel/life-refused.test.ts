// Elements that an earlier agent left in the kernel keep no VIP out for good.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Node, type Service, skip } from './node.ts';

const gone: Service = { name: 'dns', addresses: ['10.77.0.100'], ports: ['UDP 53'] };
const fresh: Service = { name: 'web', addresses: ['10.77.0.101'], ports: ['TCP 80'] };

test('a VIP that did not fit beside elements of an earlier agent is served once those are removed', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [gone], agentArgs: ['--set-size', '1'] });
  await node.killAgent('SIGKILL');
  // Without its records the agent cannot know whose elements these are before it is in sync.
  rmSync(join(node.folder, 'agent'), { recursive: true });
  node.writeServices([fresh]);
  node.startAgent();
  await node.settled([fresh]);
  await node.until('it is serving', async () => (await node.status()).vips[0]?.state === 'serving');
  const [told] = (await node.controllerStatus()).nodes;
  assert.deepEqual(told?.refusals, []);
  await node.listen(node.node, 'tcp', 80);
  assert.equal(await node.probe('tcp', '10.77.0.101', 80), 'open');
});
