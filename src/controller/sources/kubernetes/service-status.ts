// The status of Services: which addresses it says, and the request that says so. Server-side apply, never
// forced: a status that somebody else owns is his.

import { type Address, familyOf } from '../../../state/address.ts';
import type { ServiceKey } from '../../../state/service.ts';
import type { PortRefusal } from '../../compile.ts';
import { RefusalReason } from '../../service.ts';
import { isMapping } from '../fields.ts';

/** Who we are to the API server's record of who owns which field. */
export const fieldManager = 'vipward';

/** What a Service has, and what its status says. */
export interface IngressFacts {
  readonly allocated: readonly Address[];
  /** What it has until that is served and told. */
  readonly outgoing: readonly Address[];
  readonly recorded: readonly Address[];
  readonly isAnnounced: (address: Address) => boolean;
  /** True while another Service has one of its ports there. */
  readonly isContested: (address: Address) => boolean;
}

/**
 * The addresses that a status shall have: those it has and that the Service still has, with or without an
 * owner, and those that were announced. What was never announced is not promised to anybody. One on which a
 * port belongs to another Service is left out: kube-proxy would send what comes to that port to either. One
 * that goes stays even so until there is another in its place, or the Service would have none meanwhile.
 */
export function wantedIngress(facts: IngressFacts): readonly Address[] {
  const { allocated, outgoing, recorded, isAnnounced, isContested } = facts;
  const wanted = allocated
    .filter((address) => !isContested(address))
    .filter((address) => recorded.includes(address) || isAnnounced(address));
  const isReplaced = (before: Address) => wanted.some((address) => familyOf(address) === familyOf(before));
  const kept = outgoing
    .filter((address) => recorded.includes(address))
    .filter((address) => !isContested(address) || !isReplaced(address));
  return [...wanted, ...kept];
}

/** True if another Service has a port of this one, by what was refused on an address. */
export function isContestedFor(key: ServiceKey, refused: readonly PortRefusal[] = []): boolean {
  return refused.some(({ service, reason }) => service === key && reason === RefusalReason.PortTaken);
}

export interface StatusText {
  readonly key: ServiceKey;
  readonly addresses: readonly Address[];
  /** From Kubernetes 1.30: traffic comes with the VIP as its destination. */
  readonly hasIpMode: boolean;
}

/** The path and the body of the request. An empty list of addresses takes away what we had applied before. */
export function statusPatch({ key, addresses, hasIpMode }: StatusText): { path: string; body: object } {
  const [namespace = '', name = ''] = key.split('/');
  const ingress = addresses.map((ip) => (hasIpMode ? { ip, ipMode: 'VIP' } : { ip }));
  return {
    path: `/api/v1/namespaces/${namespace}/services/${name}/status?fieldManager=${fieldManager}`,
    body: {
      ...{ apiVersion: 'v1', kind: 'Service', metadata: { namespace, name } },
      status: { loadBalancer: ingress.length === 0 ? {} : { ingress } },
    },
  };
}

/** What the status of a Service says beside these, by the answer to the request that was to leave it out. */
export function leftIn(answer: unknown, addresses: readonly Address[]): readonly unknown[] {
  const ingress = memberAt(answer, ['status', 'loadBalancer', 'ingress']);
  if (!Array.isArray(ingress)) return [];
  return ingress.filter((entry) => !addresses.some((address) => address === memberAt(entry, ['ip'])));
}

/** The other field managers that have written the addresses in the status of an object. */
export function otherManagersOf(object: unknown): readonly string[] {
  const managed = memberAt(object, ['metadata', 'managedFields']);
  const owners = (Array.isArray(managed) ? managed : []).filter((entry) => {
    return memberAt(entry, ['fieldsV1', 'f:status', 'f:loadBalancer']) !== undefined;
  });
  const names = owners.map((entry) => String(memberAt(entry, ['manager'])));
  return [...new Set(names)].filter((name) => name !== fieldManager);
}

function memberAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((part, name) => (isMapping(part) ? part[name] : undefined), value);
}

/** The name of the object that records an address: colons are refused in names, so IPv6 is written out. */
export function virtualIpName(address: Address): string {
  if (familyOf(address) === 4) return address;
  const [head = '', tail] = address.split('::');
  const groups = (text: string | undefined) => (text ?? '').split(':').filter((group) => group !== '');
  const [before, after] = [groups(head), groups(tail)];
  const zeros = Array<string>(8 - before.length - after.length).fill('0');
  return [...before, ...zeros, ...after].join('-');
}
