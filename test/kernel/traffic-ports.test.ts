// What a client of a VIP can reach: the declared ports of its Services, in both families, and nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Node, skip } from './node.ts';

const vips = ['10.77.0.100', 'fd77::100'];

test('a declared port answers, an undeclared one does not', { skip }, async () => {
  await using node = await Node.start({
    services: [{ name: 'web', addresses: vips, ports: ['TCP 80', 'UDP 53'] }],
  });
  await node.listen(node.node, 'tcp', 80);
  await node.listen(node.node, 'udp', 53);
  await node.listen(node.node, 'tcp', 81);
  for (const vip of vips) {
    assert.equal(await node.probe('tcp', vip, 80), 'open');
    assert.equal(await node.probe('udp', vip, 53), 'open');
    assert.equal(await node.probe('tcp', vip, 81), 'closed');
  }
});
