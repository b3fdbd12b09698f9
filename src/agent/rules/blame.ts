// Reads a refusal of the kernel: which VIPs it blames, and which VIPs have lost their filter.

import { diff } from '../../dialects/delta.ts';
import type { KernelObject, KernelObjects } from '../../dialects/dialect.ts';
import { describeErrno, type Receipt } from '../../netlink/ack.ts';
import { Errno } from '../../netlink/message.ts';
import type { Address } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import { servicesOf, type VirtualIp } from '../../state/virtual-ip.ts';
import type { Ledger } from '../ledger.ts';

/**
 * Errors that blame no object: another process owns the table, the kernel does not hold what the agent
 * expected, or something disturbed the commit.
 */
const disturbances: ReadonlySet<number> = new Set([
  Errno.EPERM,
  Errno.ENOENT,
  Errno.EINTR,
  Errno.EAGAIN,
  Errno.ENOMEM,
  Errno.EBUSY,
  Errno.EEXIST,
  Errno.ERESTART,
  Errno.ENOBUFS,
  Errno.IPSET_ERR_BUSY,
]);

/** The state of each VIP that was sent to the kernel; undefined for a removed VIP. */
export type Targets = ReadonlyMap<Address, VirtualIp | undefined>;

/** Why a VIP is refused. `services` has only one of its Services if that one alone is the cause. */
export interface Blame {
  readonly key: Address;
  readonly services: readonly ServiceKey[];
  readonly reason: string;
}

/**
 * The disturbance that means no VIP is to blame and the kernel must be read again, in its words; or
 * undefined.
 */
export function disturbanceIn(receipt: Receipt<KernelObject>): string | undefined {
  const disturbed = receipt.find(({ errno }) => disturbances.has(errno));
  return disturbed && describeErrno(disturbed.errno, disturbed.words);
}

/**
 * The VIPs of `targets` to blame, except those wanted otherwise by now. If the kernel names no object, a
 * single VIP takes the blame.
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
 * VIPs whose filter the dump does not prove: one of their objects, or of the constant part, is missing or
 * differs, and does not guard all the same.
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
