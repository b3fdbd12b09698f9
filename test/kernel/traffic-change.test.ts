// What a change does to open connections: closing a port cuts its own, and all others go on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';
import { echoes } from './traffic.ts';

const vips = ['10.77.0.100', 'fd77::100'];
const nft = skip || hasTool('nft', '--version');

function web(ports: readonly string[], delivery: 'host' | 'forward'): Service {
  return { name: 'web', addresses: vips, ports, annotations: { delivery } };
}

/** Beside a Service whose VIPs are filtered before conntrack, one whose VIPs are filtered after it. */
function withEgress(ports: readonly string[]): Service[] {
  const annotations = { delivery: 'host', egress: 'true' };
  const out: Service = { name: 'out', addresses: ['10.77.0.101', 'fd77::101'], ports, annotations };
  return [web(ports, 'host'), out];
}

test('closing a port cuts its connections, and those of another port go on', { skip }, async () => {
  await using node = await Node.start({ services: withEgress(['TCP 80', 'TCP 81']) });
  for (const port of [80, 81]) await node.listen(node.node, 'tcp', port);
  await cutOnly(node, withEgress(['TCP 81']));
});

test('closing a port cuts connections that NAT forwards to a backend', { skip: nft }, async () => {
  await using node = await Node.start({ services: [web(['TCP 80', 'TCP 81'], 'forward')] });
  for (const port of [80, 81]) await node.listen(node.backend, 'tcp', port);
  const lines = [
    'add table inet kube',
    'add chain inet kube pre { type nat hook prerouting priority dstnat; }',
    'add rule inet kube pre ip daddr 10.77.0.100 dnat ip to 10.88.0.2',
    'add rule inet kube pre ip6 daddr fd77::100 dnat ip6 to fd88::2',
  ];
  node.run('nft -f -', { input: `${lines.join('\n')}\n` });
  await cutOnly(node, [web(['TCP 81'], 'forward')]);
});

test('an open port and its connection survive changes of other ports of the Service', { skip }, async () => {
  await using node = await Node.start({ services: [web(['TCP 80'], 'host')] });
  await node.listen(node.node, 'tcp', 80);
  const flow = await node.connect('10.77.0.100', 80);
  for (const more of [['TCP 81'], ['UDP 80', 'TCP 443'], []]) {
    await node.setServices([web(['TCP 80', ...more], 'host')]);
    assert.ok(await echoes(flow, `with ${more}`));
    assert.equal(await node.probe('tcp', '10.77.0.100', 80), 'open');
  }
});

/** Changes to Services that no longer declare port 80. */
async function cutOnly(node: Node, after: readonly Service[]): Promise<void> {
  const all = after.flatMap(({ addresses }) => addresses);
  const flows = [];
  for (const vip of all) {
    flows.push({ closed: await node.connect(vip, 80), open: await node.connect(vip, 81) });
  }
  for (const { closed, open } of flows) {
    assert.ok(await echoes(closed, 'before'));
    assert.ok(await echoes(open, 'before'));
  }
  await node.setServices(after);
  const cut = await Promise.all(flows.map(({ closed }) => echoes(closed, 'after')));
  assert.deepEqual(
    cut,
    all.map(() => false),
  );
  for (const { open } of flows) assert.ok(await echoes(open, 'after'));
  for (const vip of all) assert.equal(await node.probe('tcp', vip, 80), 'closed');
}
