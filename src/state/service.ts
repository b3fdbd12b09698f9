// The name of a Service, and the delivery of its packets after the filter.

declare const serviceKeyBrand: unique symbol;

/** `NAMESPACE/NAME` of a Kubernetes Service. */
export type ServiceKey = string & { readonly [serviceKeyBrand]: true };

/**
 * The receiver of a declared port. `forward`: a DNAT rule of another program redirects the packet; a packet
 * that still has the VIP as its destination afterwards is dropped. `host`: a listener on the node itself.
 */
export const Delivery = { host: 'host', forward: 'forward' } as const;
export type Delivery = (typeof Delivery)[keyof typeof Delivery];

/** The namespace and the name of a Service. */
export function namesOf(key: ServiceKey): { readonly namespace: string; readonly name: string } {
  const slash = key.indexOf('/');
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

const twoNames = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

export class ServiceKeyError extends Error {
  readonly code = 'BadServiceKey';
}

/** Takes `NAMESPACE/NAME`, both in the form that Kubernetes allows. Throws ServiceKeyError. */
export function parseServiceKey(value: unknown): ServiceKey {
  if (typeof value === 'string' && twoNames.test(value)) return value as ServiceKey;
  const form = 'NAMESPACE/NAME in lower case letters, digits, - and .';
  throw new ServiceKeyError(`expected ${form}, got ${JSON.stringify(value)}`);
}
