// Finds and removes the addresses that agents have added to this kernel, for callers that know of no VIPs.

import { addresses } from '../../dialects/addresses/dialect.ts';
import type { AddressObject } from '../../dialects/addresses/objects.ts';
import type { Kernel } from '../../host/kernel.ts';
import type { Receipt } from '../../netlink/ack.ts';

/** Throws SystemCallError. */
export async function ownAddresses(kernel: Kernel): Promise<AddressObject[]> {
  return addresses.decode(await kernel.dump(addresses.dumps)).elements.filter(({ foreign }) => !foreign);
}

/** Removes addresses from their interfaces. The receipt names those that the kernel refused to remove. */
export async function takeAway(
  kernel: Kernel,
  objects: readonly AddressObject[],
): Promise<Receipt<AddressObject>> {
  return await kernel.commit(addresses.encode({ remove: objects, add: [] }));
}
