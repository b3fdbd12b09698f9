// The status of Services: which addresses it says, and the request that says so. Server-side apply, never
// forced: a status that somebody else owns is his.

import { type Address, familyOf } from '../../../state/address.ts';
import type { ServiceKey } from '../../../state/service.ts';

/** Who we are to the API server's record of who owns which field. */
export const fieldManager = 'vipward';

/** What a Service has, and what its status says. */
export interface IngressFacts {
  readonly allocated: readonly Address[];
  /** What it has until that is served and told. */
  readonly outgoing: readonly Address[];
  readonly recorded: readonly Address[];
  readonly isAnnounced: (address: Address) => boolean;
}

/**
 * The addresses that a status shall have: those it has and that the Service still has, with or without an
 * owner, and those that were announced. What was never announced is not promised to anybody.
 */
export function wantedIngress(facts: IngressFacts): readonly Address[] {
  const { allocated, outgoing, recorded, isAnnounced } = facts;
  const wanted = allocated.filter((address) => recorded.includes(address) || isAnnounced(address));
  return [...wanted, ...outgoing.filter((address) => recorded.includes(address))];
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

/** The name of the object that records an address: colons are refused in names, so IPv6 is written out. */
export function virtualIpName(address: Address): string {
  if (familyOf(address) === 4) return address;
  const [head = '', tail] = address.split('::');
  const groups = (text: string | undefined) => (text ?? '').split(':').filter((group) => group !== '');
  const [before, after] = [groups(head), groups(tail)];
  const zeros = Array<string>(8 - before.length - after.length).fill('0');
  return [...before, ...zeros, ...after].join('-');
}
