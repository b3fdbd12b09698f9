// Desired state -> the objects the table should hold. VIPs share no elements, so a change costs one VIP.

import {
  type Address,
  addressBytes,
  type Family,
  familyOf,
  prefixAddress,
  prefixLength,
} from '../../state/address.ts';
import type { DesiredState, Needs } from '../../state/desired-state.ts';
import { protocolNumbers } from '../../state/port.ts';
import type { VipPort, VirtualIp } from '../../state/virtual-ip.ts';
import type { KernelObjects } from '../dialect.ts';
import { keyOf } from './key.ts';
import {
  type ElementObject,
  elementObject,
  type NftObject,
  type SetHandle,
  setHandle,
  setObject,
} from './objects.ts';
import { type NftOptions, ruleset } from './ruleset.ts';
import { setShapes } from './set-shapes.ts';

/**
 * A render() that keeps the constant part while the needs stay the same, so that a diff can skip it by
 * identity.
 */
export function renderer(options: NftOptions): (state: DesiredState) => KernelObjects<NftObject> {
  let known: { needs: Needs; constants: readonly NftObject[]; sets: Record<Family, FamilySets> } | undefined;
  const room = new Uint8Array(4);
  return ({ needs, vips }) => {
    if (known?.needs !== needs)
      known = { needs, constants: ruleset(needs, options), sets: setsOf(needs, options) };
    const elements: ElementObject[] = [];
    for (const vip of vips) vipElements(vip, keyOf(addressBytes(vip.address, room)), known.sets, elements);
    return { constants: known.constants, elements, needs: null };
  };
}

/** The sets of one family. `sources` is indexed by prefix length, with `allow` at 0. */
interface FamilySets {
  readonly vip: SetHandle;
  readonly drop: SetHandle;
  readonly egress: SetHandle;
  readonly allow: SetHandle;
  readonly host: SetHandle;
  readonly sources: readonly SetHandle[];
}

function setsOf(needs: Needs, options: NftOptions): Record<Family, FamilySets> {
  const lengths = (most: number) => Array.from({ length: most }, (_, index) => index + 1);
  const [sourceLengths4, sourceLengths6] = [lengths(32), lengths(128)];
  const shapes = setShapes({ ...needs, egress: true, sourceLengths4, sourceLengths6 }, options);
  const handles = new Map(shapes.map((shape) => [shape.name, setHandle(setObject(shape))]));
  const named = (name: string): SetHandle => {
    const handle = handles.get(name);
    if (handle === undefined) throw new Error(`there is no set ${name}`);
    return handle;
  };
  const of = (family: Family, longest: readonly number[]): FamilySets => ({
    vip: named(`vip${family}`),
    drop: named(`drop${family}`),
    egress: named(`egress${family}`),
    allow: named(`allow${family}`),
    host: named(`host${family}`),
    sources: [named(`allow${family}`), ...longest.map((length) => named(`src${family}_${length}`))],
  });
  return { 4: of(4, sourceLengths4), 6: of(6, sourceLengths6) };
}

/**
 * The gate comes last: when elements are added one after another, a VIP is filtered only once its ports are
 * in.
 */
function vipElements(
  vip: VirtualIp,
  key: string,
  families: Record<Family, FamilySets>,
  out: ElementObject[],
): void {
  if (!vip.filtered) return;
  const sets = families[familyOf(vip.address)];
  for (const port of vip.ports) portElements(port, { address: vip.address, key }, sets, out);
  if (vip.egress) out.push(elementObject(sets.egress, key, vip.address));
  out.push(elementObject(sets.drop, key, vip.address));
  out.push(elementObject(sets.vip, key, vip.address));
}

function portElements(
  { protocol, port, service, sources, delivery }: VipPort,
  vip: { readonly address: Address; readonly key: string },
  sets: FamilySets,
  out: ElementObject[],
): void {
  const { address } = vip;
  const key = vip.key + String.fromCharCode(protocolNumbers[protocol], 0, 0, 0, port >> 8, port & 0xff, 0, 0);
  if (sources === null) out.push(elementObject(sets.allow, key, address, service));
  else
    for (const prefix of new Set(sources)) {
      const length = prefixLength(prefix);
      const set = sets.sources[length];
      if (familyOf(prefix) !== familyOf(address) || set === undefined) continue;
      const source = length === 0 ? '' : keyOf(addressBytes(prefixAddress(prefix)));
      out.push(elementObject(set, key + source, address, service));
    }
  if (delivery === 'host') out.push(elementObject(sets.host, key, address, service));
}
