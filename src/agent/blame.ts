// Whom a refusal of the kernel is about: VIPs, by name, or nobody.

import type { KernelObject } from '../dialects/dialect.ts';
import { describeErrno, type Receipt } from '../netlink/ack.ts';
import type { Address } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';

/**
 * Errors that say that the kernel does not hold what we thought it did, or that it was disturbed: ENOENT,
 * EINTR, EAGAIN, ENOMEM, EBUSY, EEXIST, ERESTART, ENOBUFS. No object is to blame for them.
 */
const disturbances: ReadonlySet<number> = new Set([2, 4, 11, 12, 16, 17, 85, 105]);

/** Why the VIP is refused; `service` where it is one Service's doing alone. */
export interface Blame {
  readonly key: Address;
  readonly service: ServiceKey | null;
  readonly reason: string;
}

/** In the kernel's words, why no VIP is to blame, so that the kernel has to be read again; or undefined. */
export function disturbanceIn(receipt: Receipt<KernelObject>): string | undefined {
  const disturbed = receipt.find(({ errno }) => disturbances.has(errno));
  return disturbed && describeErrno(disturbed.errno, disturbed.words);
}

/** The VIPs to blame of those that were on their way. Where the kernel names none, all of them are. */
export function blameOf(
  receipt: Receipt<KernelObject>,
  keys: ReadonlySet<Address>,
  describe: (object: KernelObject) => string,
): Blame[] {
  const named = receipt.flatMap(({ object, errno, words }) => {
    if (object === null || object.owner === null || !keys.has(object.owner)) return [];
    const reason = `${describeErrno(errno, words)} (${describe(object)})`;
    return [{ key: object.owner, service: object.service, reason }];
  });
  const [first] = receipt;
  if (named.length > 0 || first === undefined) return named;
  const what = first.object === null ? 'the whole transaction' : describe(first.object);
  const reason = `${describeErrno(first.errno, first.words)} (${what})`;
  return [...keys].map((key) => ({ key, service: null, reason }));
}
