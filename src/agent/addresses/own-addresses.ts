// The addresses of ours that a kernel carries, whoever put them there: for those who know of no VIP.

import { addresses } from '../../dialects/addresses/dialect.ts';
import type { AddressObject } from '../../dialects/addresses/objects.ts';
import type { Kernel } from '../../host/kernel.ts';
import type { Receipt } from '../../netlink/ack.ts';

/** Throws SystemCallError. */
export async function ownAddresses(kernel: Kernel): Promise<AddressObject[]> {
  return addresses.decode(await kernel.dump(addresses.dumps)).elements.filter(({ foreign }) => !foreign);
}

/** Takes them off their interfaces; the receipt names those that the kernel would not let go. */
export async function takeAway(
  kernel: Kernel,
  objects: readonly AddressObject[],
): Promise<Receipt<AddressObject>> {
  return await kernel.commit(addresses.encode({ remove: objects, add: [] }));
}
