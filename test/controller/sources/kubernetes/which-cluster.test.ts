// Which cluster is read: the first that was, and no other one behind its address.
import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import {
  AnotherClusterError,
  WhichCluster,
} from '../../../../src/controller/sources/kubernetes/which-cluster.ts';

test('another cluster is told from the first, until the first is there again', async () => {
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
  // Whether one that says nothing is the first is not known: it stays as it was.
  server.uid = undefined as unknown as string;
  await rejects(confirm(), /metadata.uid/);
  match(which.problem ?? '', /its UID is b/);
  server.uid = 'a';
  await confirm();
  equal(which.problem, null);
});
