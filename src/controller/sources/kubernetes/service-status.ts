// Decides which addresses the status of a Service has, and makes the request for it. Server-side apply, never
// forced: another field manager's status stays.

import { type Address, familyOf } from '../../../state/address.ts';
import { namesOf, type ServiceKey } from '../../../state/service.ts';
import type { PortRefusal } from '../../compile.ts';
import { RefusalReason } from '../../service.ts';
import { memberAt } from '../fields.ts';
import { servicePath } from './service-objects.ts';

/** Our name in the API server's record of which manager owns which field. */
export const fieldManager = 'vipward';

/** The addresses of a Service, and those in its status. */
export interface IngressFacts {
  readonly allocated: readonly Address[];
  /** Addresses that stay until their replacement is served and in the status. */
  readonly outgoing: readonly Address[];
  readonly recorded: readonly Address[];
  readonly isAnnounced: (address: Address) => boolean;
  /** True while another Service has a port of this one on the address. */
  readonly isContested: (address: Address) => boolean;
}

/**
 * The addresses for a status: allocated addresses that it already has, with or without an owner, and those
 * that were announced; an address that was never announced is not promised. An address on which another
 * Service has a port is left out, since kube-proxy would send that port's traffic to either. An outgoing
 * address stays even then until another of its family replaces it, so that the Service is not without one.
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

/** True if another Service has a port of this one, by the refusals on an address. */
export function isContestedFor(key: ServiceKey, refused: readonly PortRefusal[] = []): boolean {
  return refused.some(({ service, reason }) => service === key && reason === RefusalReason.PortTaken);
}

export interface StatusText {
  readonly key: ServiceKey;
  readonly addresses: readonly Address[];
  /** From Kubernetes 1.30: traffic arrives with the VIP as its destination. */
  readonly hasIpMode: boolean;
}

/** The path and body of the request. An empty list removes the addresses that we applied before. */
export function statusPatch({ key, addresses, hasIpMode }: StatusText): { path: string; body: object } {
  const ingress = addresses.map((ip) => (hasIpMode ? { ip, ipMode: 'VIP' } : { ip }));
  return {
    path: `${servicePath(key)}/status?fieldManager=${fieldManager}`,
    body: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: namesOf(key),
      status: { loadBalancer: ingress.length === 0 ? {} : { ingress } },
    },
  };
}

/** The entries in a status other than these addresses, by the answer to the request that left them out. */
export function leftIn(answer: unknown, addresses: readonly Address[]): readonly unknown[] {
  const ingress = memberAt(answer, ['status', 'loadBalancer', 'ingress']);
  if (!Array.isArray(ingress)) return [];
  return ingress.filter((entry) => !addresses.some((address) => address === memberAt(entry, ['ip'])));
}

/** The other field managers that have written the load balancer status of an object. */
export function otherManagersOf(object: unknown): readonly string[] {
  const managed = memberAt(object, ['metadata', 'managedFields']);
  const owners = (Array.isArray(managed) ? managed : []).filter((entry) => {
    return memberAt(entry, ['fieldsV1', 'f:status', 'f:loadBalancer']) !== undefined;
  });
  const names = owners.map((entry) => String(memberAt(entry, ['manager'])));
  return [...new Set(names)].filter((name) => name !== fieldManager);
}
