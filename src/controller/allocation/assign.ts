// Finds the addresses that a Service would get, from the pools and the addresses that Services have. Changes
// nothing: allocate.ts does.

import { type Address, type Family, familyOf } from '../../state/address.ts';
import { haveOnePort, RefusalReason, type ServiceManifest, type ServiceRefusal } from '../service.ts';
import { exhausted, type Outcome, wantedFamilies, whyNoPool, whyNoVip } from './families.ts';
import type { FreeAddresses } from './free-addresses.ts';
import { type Pool, poolOf } from './pools.ts';
import type { Users } from './users.ts';

/** The pools, and which Services have which addresses. */
export interface Ground {
  pools: readonly Pool[];
  readonly free: FreeAddresses;
  readonly users: Users;
  /** The Services on an address, oldest first. */
  readonly usersOf: (address: Address) => readonly ServiceManifest[];
}

/** `before` are the addresses that the Service had: it gets them back if it may. */
export function assign(service: ServiceManifest, before: readonly Address[], ground: Ground): Outcome {
  const { pools: all, free } = ground;
  const pools = poolsNamed(service.pool, all);
  if (pools.length === 0) return { refusal: whyNoPool(service, all) };
  for (const address of service.addresses) {
    const refusal = whyNoVip(address, pools);
    if (refusal !== null) return { refusal };
    const holder = objector(service, address, ground);
    if (holder !== null) return { refusal: whyTaken(address, holder), taken: address };
  }
  const { required, optional } = wantedFamilies(service, free);
  const foreign = service.addresses.find(
    (address) => !required.includes(familyOf(address)) && !optional.includes(familyOf(address)),
  );
  if (foreign !== undefined) {
    const message = `${foreign} is of a family that spec.ipFamilies does not name`;
    return { refusal: { reason: RefusalReason.NotSupported, message } };
  }
  let { addresses } = service;
  for (const family of [...required, ...optional]) {
    if (addresses.some((address) => familyOf(address) === family)) continue;
    const found = find({ service, family, pools, before }, ground);
    if (found !== undefined) addresses = addresses.concat(found);
    else if (required.includes(family)) return exhausted(family, pools);
  }
  return { addresses };
}

/** Whether the pool, or any if null, has a free address of the family. */
export function hasFree(family: Family, pool: string | null, { pools, free, users }: Ground): boolean {
  return free.find(family, poolsNamed(pool, pools), (address) => users.has(address)) !== undefined;
}

function poolsNamed(pool: string | null, all: readonly Pool[]): readonly Pool[] {
  return pool === null ? all : all.filter(({ name }) => name === pool);
}

function whyTaken(address: Address, holder: ServiceManifest): ServiceRefusal {
  const message = `${address} belongs to ${holder.key}: give both one vipward.io/sharing-key`;
  return { reason: RefusalReason.AddressTaken, message };
}

/**
 * The first other Service on the address that does not share it with this one: the namespaces differ, and so
 * do the sharing keys or there are none.
 */
export function objector(service: ServiceManifest, address: Address, ground: Ground): ServiceManifest | null {
  if (ground.users.hasNoneBut(address, service.key)) return null;
  const others = ground.usersOf(address).filter(({ key }) => key !== service.key);
  if (others.every(({ namespace }) => namespace === service.namespace)) return null;
  if (service.sharingKey !== null && others.every(({ sharingKey }) => sharingKey === service.sharingKey))
    return null;
  return others[0] ?? null;
}

interface Search {
  readonly service: ServiceManifest;
  readonly family: Family;
  readonly pools: readonly Pool[];
  readonly before: readonly Address[];
}

function find({ service, family, pools, before }: Search, ground: Ground): Address | undefined {
  const { free, users, usersOf } = ground;
  const fits = (address: Address) => familyOf(address) === family && poolOf(pools, address) !== undefined;
  const own = before.find((address) => fits(address) && mayHaveAgain(service, address, ground));
  if (own !== undefined) return own;
  const shared = free.sharedBy(service.sharingKey).find((address) => {
    return (
      fits(address) &&
      users.has(address) &&
      objector(service, address, ground) === null &&
      !usersOf(address).some((other) => other.key !== service.key && haveOnePort(other, service))
    );
  });
  return shared ?? free.find(family, pools, (address) => users.has(address));
}

/**
 * Whether a Service may have a former address back without asking for it by name. If it had to let go of it,
 * the rules for new Services hold: it shares by a key only, and takes no other Service's port.
 */
function mayHaveAgain(service: ServiceManifest, address: Address, ground: Ground): boolean {
  const { users, usersOf } = ground;
  if (objector(service, address, ground) !== null) return false;
  if (users.hasNoneBut(address, service.key) || users.isOn(address, service.key)) return true;
  const others = usersOf(address).filter(({ key }) => key !== service.key);
  const isOneKey = others.every(({ sharingKey }) => sharingKey !== null && sharingKey === service.sharingKey);
  // If only `recorded` says who had the address, the Services that it names together still share it.
  const isRecorded = [service, ...others].every(({ recorded }) => recorded?.includes(address) === true);
  return others.length > 0 && (isOneKey || isRecorded) && !others.some((one) => haveOnePort(one, service));
}
