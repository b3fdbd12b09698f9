// How much of a table a resource is: agents bound what they take by it, and a controller what it gives.

import type { VipPort } from '../state/virtual-ip.ts';
import type { TableName, Tables } from './messages.ts';

/** A resource, its ports and their sources. */
export function itemsOf(resource: Tables[TableName]): number {
  if (!('ports' in resource)) return 1;
  return resource.ports.reduce((sum, port) => sum + itemsOfPort(port), 1);
}

export function itemsOfPort({ sources }: VipPort): number {
  return 1 + (sources?.length ?? 0);
}
