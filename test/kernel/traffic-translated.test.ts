// NAT of a packet with a VIP as its source: the packets that it translates back to the VIP open no port.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';
import { forged, IPPROTO_RAW, probe, sendRaw } from './traffic.ts';

const vips = ['10.77.0.100', 'fd77::100'] as const;
const others = ['10.77.0.101', 'fd77::101'];
/** An address of the backend that it gets late, and the node's own in its network. */
const ends = {
  '10.77.0.100': { late: '10.88.0.3', prefix: '/32', gate: '10.88.0.1' },
  'fd77::100': { late: 'fd88::3', prefix: '/128 nodad', gate: 'fd88::1' },
} as const;
const withNft = { skip: skip || hasTool('nft', '--version') };

const masquerade = `
add table inet kube
add chain inet kube post { type nat hook postrouting priority srcnat; }
add rule inet kube post oif "pods" masquerade
`;

// The source of NAT is any that passed the node, rightly as long as the VIP was another node's.
for (const [name, { egress, delivery }, port, protocols] of [
  ['an undeclared port of a VIP with egress', { egress: 'true', delivery: 'host' }, 161, ['udp', 'tcp']],
  ['a forwarded port to a listener of the node', { egress: 'false', delivery: 'forward' }, 53, ['tcp']],
] as const)
  test(
    `a packet that was masqueraded as if from a VIP, before the VIP came, does not open ${name}`,
    withNft,
    async () => {
      const dns = ['UDP 53', 'TCP 53'];
      const service: Service = {
        name: 'dns',
        addresses: vips,
        ports: dns,
        annotations: { egress, delivery },
      };
      const other: Service = { name: 'other', addresses: others, ports: ['TCP 80'], annotations: { egress } };
      await using node = await Node.start({ services: [other] });
      node.run('nft -f -', { input: masquerade });
      for (const protocol of protocols) await node.listen(node.node, protocol, port);
      for (const vip of vips) {
        const { late, prefix } = ends[vip];
        // No host has this hardware address, so that nobody answers the packets.
        node.run(`ip neighbour replace ${late} lladdr 02:00:00:00:00:09 dev pods`);
        for (const protocol of protocols)
          sendRaw(node.client, IPPROTO_RAW, late, forged(vip, late, port, { protocol }));
        node.run(`ip neighbour delete ${late} dev pods`);
        node.run(`ip address add ${late}${prefix} dev pods0`, { where: node.backend });
      }
      await node.setServices([other, service]);
      for (const vip of vips) {
        const { late, gate } = ends[vip];
        for (const protocol of protocols) {
          const to = { host: gate, port, localAddress: late, localPort: 4022 };
          assert.equal(await probe(node.backend, protocol, to), 'closed', `${vip} ${protocol}`);
        }
      }
      await node.until('every probe is counted', async () => {
        const { vips: counted } = await node.counted();
        return counted
          .filter(({ address }) => vips.some((vip) => vip === address))
          .every(({ dropped }) => (dropped ?? 0) >= protocols.length);
      });
    },
  );
