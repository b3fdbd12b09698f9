// What the chart promises of its objects by default. An API server accepts them in test/kubernetes.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { defaultValues, renderChart } from '../../src/cli/manifests/chart.ts';
import { mergeValues } from '../../src/cli/manifests/values.ts';

const namespace = 'vipward-system';
const values = mergeValues(defaultValues(), { createNamespace: true });
// biome-ignore lint/suspicious/noExplicitAny: objects of the API, whose fields a test names as they are.
const objects: any[] = parseAllDocuments(renderChart({ part: 'all', namespace, values })).map((document) =>
  document.toJS(),
);

function only(kind: string) {
  const [found, ...others] = objects.filter((object) => object.kind === kind);
  ok(found !== undefined && others.length === 0, kind);
  return found;
}

test('a VirtualIP is of the cluster, has two short names, and survives an uninstall', () => {
  const { metadata, spec } = only('CustomResourceDefinition');
  equal(metadata.annotations['helm.sh/resource-policy'], 'keep');
  deepEqual(
    [spec.scope, spec.names.plural, spec.names.shortNames],
    ['Cluster', 'virtualips', ['vip', 'vips']],
  );
  const [{ selectableFields, additionalPrinterColumns, subresources }] = spec.versions;
  deepEqual(subresources, { status: {} });
  const fields = selectableFields.map(({ jsonPath }: { jsonPath: string }) => jsonPath);
  deepEqual(fields, ['.status.node', '.status.state']);
  const columns = additionalPrinterColumns.map(({ name }: { name: string }) => name);
  deepEqual(columns, ['Node', 'State', 'Services', 'Age']);
});

test('an agent runs on every node, one is replaced at a time, and it has two paths of its host', () => {
  const { updateStrategy, template } = only('DaemonSet').spec;
  deepEqual(updateStrategy, { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } });
  const { tolerations, dnsPolicy, priorityClassName, volumes, containers } = template.spec;
  deepEqual(tolerations, [{ operator: 'Exists' }]);
  deepEqual([dnsPolicy, priorityClassName], ['ClusterFirstWithHostNet', 'system-node-critical']);
  const [{ resources, env }] = containers;
  ok(resources.limits.memory);
  deepEqual(env[0], { name: 'VIPWARD_NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } });
  const host = volumes.flatMap(({ hostPath }: { hostPath?: object }) => hostPath ?? []);
  deepEqual(host, [
    { path: '/var/lib/vipward', type: 'DirectoryOrCreate' },
    { path: '/run/xtables.lock', type: 'FileOrCreate' },
  ]);
  const [{ serviceAccountToken }] = volumes.flatMap(
    ({ projected }: { projected?: { sources: object[] } }) => projected?.sources ?? [],
  );
  equal(serviceAccountToken.audience, 'vipward');
});

test('controllers are two, apart from each other, also on control planes, and one stays in a drain', () => {
  const { replicas, template } = only('Deployment').spec;
  const { affinity, tolerations } = template.spec;
  equal(replicas, 2);
  const [{ podAffinityTerm }] = affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution;
  equal(podAffinityTerm.topologyKey, 'kubernetes.io/hostname');
  const labels = podAffinityTerm.labelSelector.matchLabels;
  const { spec } = only('PodDisruptionBudget');
  deepEqual([spec.maxUnavailable, spec.unhealthyPodEvictionPolicy], [1, 'AlwaysAllow']);
  for (const selector of [labels, spec.selector.matchLabels])
    deepEqual({ ...template.metadata.labels, ...selector }, template.metadata.labels);
  const keys = tolerations.map(({ key }: { key: string }) => key);
  ok(keys.includes('node-role.kubernetes.io/control-plane'), keys);
});

test('renewals of the Lease have a flow of their own, and the namespace admits the agent', () => {
  const { priorityLevelConfiguration, rules } = only('FlowSchema').spec;
  equal(priorityLevelConfiguration.name, 'leader-election');
  const [{ subjects, resourceRules }] = rules;
  deepEqual(subjects[0].serviceAccount, { name: 'vipward-controller', namespace });
  const { apiGroups, resources, namespaces, verbs } = resourceRules[0];
  deepEqual([apiGroups, resources, namespaces], [['coordination.k8s.io'], ['leases'], [namespace]]);
  deepEqual(verbs, ['get', 'create', 'update']);
  equal(only('Namespace').metadata.labels['pod-security.kubernetes.io/enforce'], 'privileged');
});

test('a rule has one resource, by which each right is tried, and in its own namespace one name', () => {
  for (const kind of ['ClusterRole', 'Role']) {
    for (const { apiGroups, resources, resourceNames, verbs, ...more } of only(kind).rules) {
      deepEqual([apiGroups.length, resources.length, more], [1, 1, {}]);
      // A right to create cannot name its object.
      const isNamed = (kind === 'Role' && verbs.join() !== 'create') || resources[0] === 'namespaces';
      equal(resourceNames?.length, isNamed ? 1 : undefined, resources[0]);
    }
  }
});
