// The rights of deploy/, taken away one by one: each is needed, and what is refused without it is named in
// the status, with the words of the API server.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { defaultValues, renderChart } from '../../src/cli/manifests/chart.ts';
import { skip as noNode } from '../kernel/node.ts';
import { skip as noCluster } from './control-plane.ts';
import { controllerUser, NodeInCluster, systemNamespace } from './node-in-cluster.ts';

const skip = noCluster || noNode;

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

interface Role {
  readonly kind: 'ClusterRole' | 'Role';
  readonly rules: readonly Rule[];
}

interface Right {
  readonly role: Role;
  readonly rule: Rule;
  readonly verb: string;
}

const roles = parseAllDocuments(
  renderChart({ part: 'controller', namespace: systemNamespace, values: defaultValues() }),
)
  .map((document) => document.toJS() as Role)
  .filter(({ kind }) => kind.endsWith('Role'));
/** An Event is counted five minutes after it was said: for that no test waits. */
const late = ({ rule, verb }: Right): boolean => rule.resources[0] === 'events' && verb === 'patch';
const rights: readonly Right[] = roles
  .flatMap((role) => role.rules.flatMap((rule) => rule.verbs.map((verb) => ({ role, rule, verb }))))
  .filter((right) => !late(right));

let all: NodeInCluster;
before(async () => {
  if (skip === false) all = await NodeInCluster.start();
});
after(async () => {
  if (skip === false) await all[Symbol.asyncDispose]();
});

/** Writes a role without one right, or whole, and waits until the API server goes by it. */
async function grant(role: Role, without?: Right): Promise<void> {
  const space = role.kind === 'Role' ? `namespaces/${systemNamespace}/roles` : 'clusterroles';
  const path = `/apis/rbac.authorization.k8s.io/v1/${space}/vipward-controller`;
  const less = (rule: Rule): Rule => ({
    ...rule,
    verbs: rule.verbs.filter((verb) => verb !== without?.verb),
  });
  const rules = role.rules
    .map((rule) => (rule === without?.rule ? less(rule) : rule))
    .filter(({ verbs }) => verbs.length > 0);
  await all.cluster.do('PATCH', path, { rules }, { type: 'application/merge-patch+json' });
  if (without !== undefined) await all.until('it is gone', async () => !(await isAllowed(without)));
}

async function isAllowed({ role, rule, verb }: Right): Promise<boolean> {
  const [resource, subresource] = rule.resources[0]?.split('/') ?? [];
  const resourceAttributes = {
    ...{ group: rule.apiGroups[0], resource, subresource, verb, name: rule.resourceNames?.[0] },
    ...(role.kind === 'Role' ? { namespace: systemNamespace } : {}),
  };
  const review = { spec: { user: controllerUser, resourceAttributes } };
  const { status } = await all.cluster.do(
    'POST',
    '/apis/authorization.k8s.io/v1/subjectaccessreviews',
    review,
  );
  return status.allowed;
}

/** Gives the controller something of every kind to write: what comes, what changes, and what goes. */
async function stir(round: number): Promise<void> {
  const at = (last: number) => ({ 'vipward.io/addresses': `10.77.0.${last}` });
  await all.apply(`own-${round}`, { annotations: at(100 + round) });
  await all.apply(`shared-${round}`, { ports: [`TCP ${1000 + round}`], annotations: at(199) });
  const more = { annotations: at(198), spec: { externalTrafficPolicy: 'Local' } };
  if (round === 0) await all.apply('local', { ports: ['TCP 81'], ...more });
  if (round === 0) return;
  await all.remove(`own-${round - 1}`);
  await all.remove(`shared-${round - 1}`);
}

async function problems(): Promise<string> {
  const { problems: found } = await all.node.controllerStatus();
  return found.map(({ message }) => message).join('\n');
}

test('with all of them nothing is refused', { skip }, async () => {
  await stir(0);
  await all.serves('10.77.0.100: TCP 80', '10.77.0.199: TCP 1000');
  assert.equal(await problems(), '');
});

for (const [index, right] of rights.entries()) {
  const { role, rule, verb } = right;
  const [resource = ''] = rule.resources;
  const what = `${verb} ${resource}${rule.apiGroups[0] === '' ? '' : `.${rule.apiGroups[0]}`}`;
  test(`without the right to ${what} its refusal is named in the status`, { skip }, async () => {
    await grant(role, right);
    if (verb === 'create' && resource === 'leases')
      await all.cluster.do(
        'DELETE',
        `/apis/coordination.k8s.io/v1/namespaces/${systemNamespace}/leases/vipward-controller`,
      );
    await all.node.killController('SIGKILL');
    all.node.startController();
    await stir(index + 1);
    await all.until('it is named', async () => {
      assert.match(await problems(), new RegExp(`403.*cannot ${verb} resource "${resource}"`));
      return true;
    });
    await grant(role);
  });
}

test('once all of them are back, everything is said', { skip }, async () => {
  const last = rights.length;
  const wanted = ['10.77.0.199: ', `TCP ${1000 + last}`].join('');
  await all.until('all is served and written', async () => {
    const served = await all.served();
    assert.equal(served.length, 2);
    assert.ok(served.includes(wanted), String(served));
    const { items } = await all.cluster.do('GET', '/apis/vipward.io/v1alpha1/virtualips');
    assert.equal(items.length, 3);
    assert.equal(await problems(), '');
    return true;
  });
});
