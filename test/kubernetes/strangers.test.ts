// Objects of other writers in a real cluster that look like ours.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { skip as noNode } from '../kernel/node.ts';
import { skip as noCluster } from './control-plane.ts';
import { NodeInCluster } from './node-in-cluster.ts';

const skip = noCluster || noNode;
const records = '/apis/vipward.io/v1alpha1/virtualips';

let all: NodeInCluster;
before(async () => {
  if (skip === false) all = await NodeInCluster.start();
});
after(async () => {
  if (skip === false) await all[Symbol.asyncDispose]();
});

/** The problems of the controller's status at a path. */
async function problemsAt(path: string): Promise<readonly string[]> {
  const { problems } = await all.node.controllerStatus();
  return problems.filter(({ file }) => file === path).map(({ message }) => message);
}

test('status names a VirtualIP in the place of a record, and the record is written once that is deleted', {
  skip,
}, async () => {
  const path = `${records}/10.77.0.100`;
  await all.cluster.do('POST', records, {
    apiVersion: 'vipward.io/v1alpha1',
    kind: 'VirtualIP',
    metadata: { name: '10.77.0.100' },
    spec: { address: '10.77.0.177' },
  });
  await all.apply('web');
  await all.serves('10.77.0.100: TCP 80');
  await all.until('the VirtualIP is named', async () => {
    const [problem = ''] = await problemsAt(path);
    return /does not match its address 10\.77\.0\.177.*kubectl delete vip 10\.77\.0\.100/.test(problem);
  });
  all.cluster.kubectl(['delete', 'vip', '10.77.0.100']);
  await all.until('the record is there', async () => {
    const { body } = await all.cluster.ask('GET', path);
    return body.spec?.address === '10.77.0.100' && body.status?.state === 'serving';
  });
  assert.deepEqual(await problemsAt(path), []);
});
