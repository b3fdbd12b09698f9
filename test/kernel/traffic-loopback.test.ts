// Packets that come in by lo and are not the node's own: they reach declared ports alone, as any others do.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Namespace, runIn } from '../namespaces.ts';
import { Node, type Service, skip } from './node.ts';
import { bound, forged, IPPROTO_RAW, sendRaw } from './traffic.ts';

const vips = ['10.77.0.100', 'fd77::100'] as const;
const pods = { '10.77.0.100': '10.77.0.8', 'fd77::100': 'fd77::8' } as const;
const services: readonly Service[] = [
  { name: 'dns', addresses: vips, ports: ['UDP 53', 'TCP 80'], annotations: { delivery: 'host' } },
  { name: 'web', addresses: vips, ports: ['UDP 443', 'TCP 443'], annotations: { delivery: 'forward' } },
];
const asking: Service = {
  name: 'asking',
  addresses: ['10.77.0.101', 'fd77::101'],
  ports: ['UDP 53'],
  annotations: { delivery: 'host', egress: 'true' },
};

test('a packet by lo as from elsewhere reaches no undeclared port, and no forwarded one', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [...services, asking] });
  for (const vip of [...vips, ...asking.addresses]) {
    const pod = pods[vip.includes(':') ? 'fd77::100' : '10.77.0.100'];
    const got: number[] = [];
    for (const port of [161, 443, 53]) {
      const socket = await bound(node.node, vip, port);
      socket.unref();
      socket.on('message', () => got.push(port));
    }
    const send = (from: string, to: number): void =>
      sendRaw(node.node, IPPROTO_RAW, vip, forged(from, vip, 4022, { toPort: to }));
    for (const port of [161, 443, 53]) send(pod, port);
    await node.until('the declared port is reached', () => got.includes(53));
    assert.deepEqual(got, [53], vip);
    for (const port of [161, 443]) send(vip, port);
    await node.until('the node reaches every port', () => got.length === 3);
  }
});

for (const mode of ['l3', 'l3s'])
  test(`a pod by ipvlan (${mode}) reaches declared ports alone`, {
    skip: skip || lacksIpvlan(),
  }, async () => {
    await using node = await Node.start({ services });
    const pod = node.backend;
    const there = `netns /proc/${process.pid}/fd/${pod.fd}`;
    node.run(`ip link add link lan name pod0 ${there} type ipvlan mode ${mode}`);
    node.run(`ip link add link lan name back type ipvlan mode ${mode}`);
    node.run('ip link set back up');
    node.run('ip link set pod0 up', { where: pod });
    for (const vip of vips) {
      node.run(`ip address add ${pods[vip]} dev pod0`, { where: pod });
      node.run(`ip route add ${vip} dev pod0 src ${pods[vip]}`, { where: pod });
      node.run(`ip route add ${pods[vip]} dev back`);
    }
    for (const port of [22, 80, 443]) await node.listen(node.node, 'tcp', port);
    for (const vip of vips) {
      assert.equal(await node.probe('tcp', vip, 80, pod), 'open', vip);
      for (const port of [22, 443]) assert.equal(await node.probe('tcp', vip, port, pod), 'closed', vip);
    }
  });

function lacksIpvlan(): string | false {
  using own = Namespace.make();
  const lines = 'link add under type veth\nlink add link under name over type ipvlan';
  return runIn(own, ['ip', '-batch', '-'], lines).status !== 0 && 'this kernel has no ipvlan';
}
