// What a Node says of itself that keeps VIPs off it.
import { deepEqual, match } from 'node:assert/strict';
import { test } from 'node:test';
import { cutNode } from '../../../../src/controller/sources/kubernetes/node-facts.ts';

const excludeLabel = 'node.kubernetes.io/exclude-from-external-load-balancers';

/** Why a Node with these labels and taints may have no VIP, or null. */
function why(labels: readonly string[], taints: readonly string[] = [], ignoresExclude = false) {
  const metadata = { name: 'n1', labels: Object.fromEntries(labels.map((name) => [name, ''])) };
  const spec = { taints: taints.map((key) => ({ key, effect: 'NoExecute' })) };
  return cutNode({ metadata, spec }, { ignoresExclude });
}

test('a Node that leaves or is gone has no VIP, by its labels or its taints', () => {
  match(why([excludeLabel]) ?? '', /^label .* excludes it; --ignore-exclude-label lifts that$/);
  match(why(['vipward.io/drain']) ?? '', /^label vipward\.io\/drain drains it$/);
  const taints = [
    'node.kubernetes.io/out-of-service',
    'node.cloudprovider.kubernetes.io/shutdown',
    'ToBeDeletedByClusterAutoscaler',
  ];
  deepEqual(
    taints.map((taint) => why([], ['example.com/other', taint])),
    taints.map((taint) => `taint ${taint}`),
  );
});

test('a Node that is cordoned, not ready or a control plane keeps its VIPs', () => {
  const names = ['unschedulable', 'not-ready', 'unreachable', 'disk-pressure'];
  const taints = [
    ...names.map((name) => `node.kubernetes.io/${name}`),
    'node-role.kubernetes.io/control-plane',
  ];
  deepEqual(why(['node-role.kubernetes.io/control-plane'], taints), null);
  deepEqual(
    cutNode({ metadata: { name: 'n1' }, spec: { unschedulable: true } }, { ignoresExclude: false }),
    null,
  );
});

test('--ignore-exclude-label lifts the exclusion and nothing else', () => {
  deepEqual(why([excludeLabel], [], true), null);
  match(why([excludeLabel, 'vipward.io/drain'], [], true) ?? '', /drains it$/);
});
