// What a refusal of the kernel means: which VIPs it is about, by name, and which of them have lost their
// filter.

import { diff } from '../../dialects/delta.ts';
import type { KernelObject, KernelObjects } from '../../dialects/dialect.ts';
import { describeErrno, type Receipt } from '../../netlink/ack.ts';
import { Errno } from '../../netlink/message.ts';
import type { Address } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import { servicesOf, type VirtualIp } from '../../state/virtual-ip.ts';
import type { Ledger } from '../ledger.ts';

/**
 * Errors that say that the table is another's, that the kernel does not hold what we thought it did, or that
 * it was disturbed. No object is to blame for them.
 */
const disturbances: ReadonlySet<number> = new Set([
  ...[Errno.EPERM, Errno.ENOENT, Errno.EINTR, Errno.EAGAIN, Errno.ENOMEM],
  ...[Errno.EBUSY, Errno.EEXIST, Errno.ERESTART, Errno.ENOBUFS, Errno.IPSET_ERR_BUSY],
]);

/** What the kernel was told of each VIP. */
export type Targets = ReadonlyMap<Address, VirtualIp | undefined>;

/** Why the VIP is refused; of its Services only one where it is that one's doing alone. */
export interface Blame {
  readonly key: Address;
  readonly services: readonly ServiceKey[];
  readonly reason: string;
}

/** In the kernel's words, why no VIP is to blame, so that the kernel has to be read again; or undefined. */
export function disturbanceIn(receipt: Receipt<KernelObject>): string | undefined {
  const disturbed = receipt.find(({ errno }) => disturbances.has(errno));
  return disturbed && describeErrno(disturbed.errno, disturbed.words);
}

/**
 * The VIPs to blame of those that were on their way, but for those of which something else is wanted by now.
 * Where the kernel names none it is the one that was alone.
 */
export function blameOf(
  receipt: Receipt<KernelObject>,
  targets: Targets,
  { ledger, describe }: { readonly ledger: Ledger; readonly describe: (object: KernelObject) => string },
): Blame[] {
  const servicesAt = (key: Address): ServiceKey[] => {
    const vip = ledger.wanted.get(key);
    return vip === undefined ? [] : servicesOf(vip);
  };
  const named = receipt.flatMap(({ object, errno, words }) => {
    if (object === null || object.owner === null || !targets.has(object.owner)) return [];
    const reason = `${describeErrno(errno, words)} (${describe(object)})`;
    const services = object.service === null ? servicesAt(object.owner) : [object.service];
    return [{ key: object.owner, services, reason }];
  });
  const [first] = receipt;
  const isStill = ({ key }: Blame): boolean => ledger.target(key) === targets.get(key);
  if (named.length > 0 || first === undefined || targets.size > 1) return named.filter(isStill);
  const what = first.object === null ? 'the whole transaction' : describe(first.object);
  const reason = `${describeErrno(first.errno, first.words)} (${what})`;
  return [...targets.keys()].map((key) => ({ key, services: servicesAt(key), reason })).filter(isStill);
}

/**
 * VIPs whose filter the dump does not prove: some object of theirs, or of the constant part, is missing or
 * differs, unless it still guards.
 */
export function lostIn(
  have: KernelObjects,
  want: KernelObjects,
  {
    vips,
    guards,
  }: { readonly vips: readonly VirtualIp[]; guards(object: KernelObject, isWanted: boolean): boolean },
): Set<Address> {
  const wrong = new Set<Address | null>();
  const { remove, add } = diff(have, want);
  for (const object of [...remove, ...add]) {
    const isIn = ({ constants }: KernelObjects): boolean => constants.some(({ id }) => id === object.id);
    if (!(isIn(have) && guards(object, isIn(want)))) wrong.add(object.owner);
  }
  const lost = vips.filter(({ address }) => wrong.has(null) || wrong.has(address));
  return new Set(lost.map(({ address }) => address));
}
