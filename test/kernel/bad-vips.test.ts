// VIPs that a node must not take, with real processes: each is refused by name, and the other VIP is served.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Node, type Service, skip } from './node.ts';

const web: Service = { name: 'web', addresses: ['10.77.0.100'], ports: ['TCP 80'] };

interface Bad {
  readonly what: string;
  readonly address: string;
  readonly prepare: string;
  readonly reason: string;
  readonly message: RegExp;
}

const bads: readonly Bad[] = [
  {
    what: 'a VIP outside --allow',
    address: '10.99.0.150',
    prepare: 'true',
    reason: 'Forbidden',
    message: /10\.99\.0\.150 is outside --allow .*; add its prefix there/,
  },
  {
    what: 'a VIP that is on the node already',
    address: '10.77.0.150',
    prepare: 'ip address add 10.77.0.150/24 dev lan',
    reason: 'AddressConflict',
    message: /10\.77\.0\.150.*; choose another address for the Service/,
  },
  {
    what: 'a VIP that is the gateway',
    address: '10.77.0.150',
    prepare: 'ip route add default via 10.77.0.150',
    reason: 'AddressConflict',
    message: /10\.77\.0\.150.*gateway.*; choose another address for the Service/,
  },
];

for (const { what, address, prepare, reason, message } of bads) {
  test(`the agent refuses ${what}, names it in status, and serves the other VIP`, { skip }, async () => {
    await using node = await Node.start({ services: [web], controllerArgs: ['--pool', 'far=10.99.0.0/24'] });
    await node.listen(node.node, 'tcp', 80);
    node.run(prepare);
    await node.setServices([web, { name: 'bad', addresses: [address], ports: ['TCP 80'] }]);
    const ofAgent = (await node.status()).vips.find((vip) => vip.address === address);
    assert.deepEqual([ofAgent?.held, ofAgent?.state, ofAgent?.reason], [false, 'refused', reason]);
    assert.match(ofAgent?.message ?? '', message);
    const ofController = (await node.controllerStatus()).vips.find((vip) => vip.address === address);
    assert.deepEqual([ofController?.state, ofController?.reason], ['refused', reason]);
    assert.deepEqual(
      ofController?.services.map(({ key, state }) => [key, state]),
      [['default/bad', 'refused']],
    );
    assert.equal(await node.probe('tcp', '10.77.0.100', 80), 'open');
    assert.equal(await node.probe('tcp', '10.77.0.100', 22), 'closed');
  });
}
