// The rights of deploy/, one by one, and how a test takes one away.
import { parseAllDocuments } from 'yaml';
import { defaultValues, renderChart } from '../../src/cli/manifests/chart.ts';
import { until } from '../patience.ts';
import type { Cluster } from './cluster.ts';
import { controllerUser, systemNamespace } from './node-in-cluster.ts';

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

export interface Right {
  readonly role: Role;
  readonly rule: Rule;
  readonly resource: string;
  readonly verb: string;
}

const roles = parseAllDocuments(
  renderChart({ part: 'controller', namespace: systemNamespace, values: defaultValues() }),
)
  .map((document) => document.toJS() as Role)
  .filter(({ kind }) => kind.endsWith('Role'));

export const rights: readonly Right[] = roles.flatMap((role) =>
  role.rules.flatMap((rule) => {
    const [resource = ''] = rule.resources;
    return rule.verbs.map((verb) => ({ role, rule, resource, verb }));
  }),
);

/** In the words of RBAC. */
export function wordsOf({ rule, resource, verb }: Right): string {
  return `${verb} ${resource}${rule.apiGroups[0] === '' ? '' : `.${rule.apiGroups[0]}`}`;
}

/** The refusal of the API server without this right. */
export function refusalOf({ resource, verb }: Right): RegExp {
  return new RegExp(`403.*cannot ${verb} resource "${resource}"`);
}

/** Writes a role without one right, or whole, and waits until the API server applies it. */
export async function grant(cluster: Cluster, role: Role, without?: Right): Promise<void> {
  const space = role.kind === 'Role' ? `namespaces/${systemNamespace}/roles` : 'clusterroles';
  const path = `/apis/rbac.authorization.k8s.io/v1/${space}/vipward-controller`;
  const less = (rule: Rule): Rule => ({
    ...rule,
    verbs: rule.verbs.filter((verb) => verb !== without?.verb),
  });
  const rules = role.rules
    .map((rule) => (rule === without?.rule ? less(rule) : rule))
    .filter(({ verbs }) => verbs.length > 0);
  await cluster.do('PATCH', path, { rules }, { type: 'application/merge-patch+json' });
  if (without !== undefined)
    await until('the right is gone', async () => !(await isAllowed(cluster, without)));
}

async function isAllowed(cluster: Cluster, { role, rule, resource: words, verb }: Right): Promise<boolean> {
  const [resource, subresource] = words.split('/');
  const resourceAttributes = {
    group: rule.apiGroups[0],
    resource,
    subresource,
    verb,
    name: rule.resourceNames?.[0],
    ...(role.kind === 'Role' ? { namespace: systemNamespace } : {}),
  };
  const review = { spec: { user: controllerUser, resourceAttributes } };
  const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
  const { status } = await cluster.do('POST', path, review);
  return status.allowed;
}
