// Only the cluster that was read first is accepted, and no other one behind its address.
import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import {
  AnotherClusterError,
  WhichCluster,
} from '../../../../src/controller/sources/kubernetes/which-cluster.ts';

test('a cluster with another UID is refused until the first cluster is back', async () => {
  const server = { uid: 'a', asked: [] as string[] };
  const json = async ({ path }: { readonly path: string }) => {
    server.asked.push(path);
    return { metadata: { uid: server.uid } };
  };
  const which = new WhichCluster();
  const confirm = () => which.confirm({ json }, { signal: new AbortController().signal });
  deepEqual([which.uid, which.problem], [null, null]);
  await confirm();
  deepEqual([which.uid, which.problem, server.asked], ['a', null, ['/api/v1/namespaces/kube-system']]);
  server.uid = 'b';
  await rejects(confirm(), AnotherClusterError);
  match(which.problem ?? '', /another cluster: its UID is b, and was a; .*start the controller again/);
  equal(which.uid, 'a');
  // A cluster without a UID may be the first one or not: the problem stays.
  server.uid = undefined as unknown as string;
  await rejects(confirm(), /metadata.uid/);
  match(which.problem ?? '', /its UID is b/);
  server.uid = 'a';
  await confirm();
  equal(which.problem, null);
});
