// How a Service is named, and where its packets go after they have passed the filter.

declare const serviceKeyBrand: unique symbol;

/** `NAMESPACE/NAME` of a Kubernetes Service. */
export type ServiceKey = string & { readonly [serviceKeyBrand]: true };

/**
 * Who answers a declared port. `forward`: a DNAT rule of somebody else takes the packet away, and one that is
 * still addressed to the VIP afterwards is dropped. `host`: a listener of the node itself.
 */
export const Delivery = { host: 'host', forward: 'forward' } as const;
export type Delivery = (typeof Delivery)[keyof typeof Delivery];

const twoNames = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

export class ServiceKeyError extends Error {
  readonly code = 'BadServiceKey';
}

/** Takes `NAMESPACE/NAME`, both in the form that Kubernetes allows. Throws ServiceKeyError. */
export function parseServiceKey(value: unknown): ServiceKey {
  if (typeof value === 'string' && twoNames.test(value)) return value as ServiceKey;
  throw new ServiceKeyError(`expected NAMESPACE/NAME, got ${JSON.stringify(value)}`);
}
