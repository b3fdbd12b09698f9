// The rules of allocate.ts: which address families a Service gets, and which addresses are never given.

import { type Address, type Family, familyOf } from '../../state/address.ts';
import { RefusalReason, type ServiceManifest, type ServiceRefusal } from '../service.ts';
import type { FreeAddresses } from './free-addresses.ts';
import { isNeverVip, type Pool, poolOf } from './pools.ts';

/**
 * The addresses of a Service, or why it is refused: `lacks` is the family of which no address is free,
 * `taken` the address that other Services have.
 */
export type Outcome =
  | { readonly addresses: readonly Address[] }
  | { readonly refusal: ServiceRefusal; readonly lacks?: Family; readonly taken?: Address };

export interface WantedFamilies {
  readonly required: readonly Family[];
  readonly optional: readonly Family[];
}

/** The families that a Service must get, and those that it gets if there is a free address. */
export function wantedFamilies({ addresses, wish }: ServiceManifest, free: FreeAddresses): WantedFamilies {
  const asked = [...new Set([...wish.families, ...addresses.map(familyOf)])];
  const both: readonly Family[] = [...new Set<Family>([...asked, 4, 6])];
  if (wish.policy === 'RequireDualStack') return { required: both, optional: [] };
  const usual: Family = free.has(4) || !free.has(6) ? 4 : 6;
  const named = wish.families.length > 0 ? wish.families : asked;
  const wanted: readonly Family[] = named.length > 0 ? named : [usual];
  if (wish.policy !== 'PreferDualStack') return { required: wanted, optional: [] };
  const required = wanted.slice(0, 1);
  return { required, optional: both.filter((family) => !required.includes(family)) };
}

export function exhausted(family: Family, pools: readonly Pool[]): Outcome {
  const message = `no free IPv${family} address in ${namesOf(pools)}: widen --pool or remove a Service`;
  return { refusal: { reason: RefusalReason.PoolExhausted, message }, lacks: family };
}

/** Why a Service has no pool to choose from. */
export function whyNoPool({ pool }: ServiceManifest, all: readonly Pool[]): ServiceRefusal {
  const message =
    pool === null
      ? 'no pool is configured: give --pool NAME=RANGE'
      : `pool ${JSON.stringify(pool)} is not one of: ${namesOf(all)}; add it with --pool`;
  return { reason: RefusalReason.OutsidePool, message };
}

/** Why these pools cannot give the address, or null. */
export function whyNoVip(address: Address, pools: readonly Pool[]): ServiceRefusal | null {
  if (isNeverVip(address)) {
    const message = `${address} is loopback, multicast or link-local: it cannot be a VIP`;
    return { reason: RefusalReason.Forbidden, message };
  }
  if (poolOf(pools, address) !== undefined) return null;
  const message = `${address} is in no range of ${namesOf(pools)}: widen --pool or ask for another`;
  return { reason: RefusalReason.OutsidePool, message };
}

function namesOf(pools: readonly Pool[]): string {
  return pools.map(({ name }) => name).join(', ') || 'none';
}
