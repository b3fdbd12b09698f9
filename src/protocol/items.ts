// The size of a resource in items. Agents limit what they accept by it, and controllers what they send.

import type { VipPort } from '../state/virtual-ip.ts';
import type { TableName, Tables } from './messages.ts';

/** One item for the resource, and one for each port and each source of a port. */
export function itemsOf(resource: Tables[TableName]): number {
  if (!('ports' in resource)) return 1;
  return resource.ports.reduce((sum, port) => sum + itemsOfPort(port), 1);
}

export function itemsOfPort({ sources }: VipPort): number {
  return 1 + (sources?.length ?? 0);
}
