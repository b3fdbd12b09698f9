// Desired state -> the objects the table should hold. A VIP's elements are its own alone, so a change costs
// one VIP.

import { addressBytes, familyOf, prefixAddress, prefixLength } from '../../state/address.ts';
import type { Capacities, DesiredState, Needs } from '../../state/desired-state.ts';
import { protocolNumbers } from '../../state/port.ts';
import type { VipPort, VirtualIp } from '../../state/virtual-ip.ts';
import type { KernelObjects } from '../dialect.ts';
import { type ElementObject, elementObject, type NftObject, setVersion } from './objects.ts';
import { type NftOptions, ruleset } from './ruleset.ts';

/**
 * A render() that keeps the constant part, and with it the identity by which a diff knows that nothing
 * differs.
 */
export function renderer(options: NftOptions): (state: DesiredState) => KernelObjects<NftObject> {
  let known: { needs: Needs; constants: readonly NftObject[] } | undefined;
  return (state) => {
    if (known?.needs !== state.needs)
      known = { needs: state.needs, constants: ruleset(state.needs, options) };
    const elements: ElementObject[] = [];
    for (const vip of state.vips) vipElements(vip, state.needs.capacities, elements);
    return { constants: known.constants, elements, needs: null };
  };
}

type SetName = { readonly name: string; readonly version: string };

/**
 * The gate comes last: where elements go in one after the other, a VIP is guarded only when its ports are
 * known.
 */
function vipElements(vip: VirtualIp, capacities: Capacities, out: ElementObject[]): void {
  if (!vip.filtered) return;
  const family = familyOf(vip.address);
  const bytes = addressBytes(vip.address);
  const vips = family === 4 ? capacities.vips4 : capacities.vips6;
  for (const port of vip.ports) {
    const put = (set: SetName, key: Uint8Array): void => {
      out.push(elementObject(set, key, vip.address, port.service));
    };
    portElements(port, bytes, capacities, put);
  }
  if (vip.egress) out.push(elementObject(named(`egress${family}`, vips), bytes, vip.address));
  out.push(elementObject(named(`drop${family}`, vips), bytes, vip.address));
  out.push(elementObject(named(`vip${family}`, vips), bytes, vip.address));
}

function portElements(
  { protocol, port, sources, delivery }: VipPort,
  vip: Uint8Array,
  capacities: Capacities,
  put: (set: SetName, key: Uint8Array) => void,
): void {
  const family = vip.length === 4 ? 4 : 6;
  const ports = family === 4 ? capacities.ports4 : capacities.ports6;
  const key = new Uint8Array(vip.length + 8);
  key.set(vip);
  key[vip.length] = protocolNumbers[protocol];
  key[vip.length + 4] = port >> 8;
  key[vip.length + 5] = port & 0xff;
  if (sources === null) put(named(`allow${family}`, ports), key);
  for (const prefix of new Set(sources ?? [])) {
    const length = prefixLength(prefix);
    if (familyOf(prefix) !== family) continue;
    if (length === 0) put(named(`allow${family}`, ports), key);
    else {
      const size = family === 4 ? capacities.sources4 : capacities.sources6;
      const ranged = new Uint8Array(key.length + vip.length);
      ranged.set(key);
      ranged.set(addressBytes(prefixAddress(prefix)), key.length);
      put(named(`src${family}_${length}`, size), ranged);
    }
  }
  if (delivery === 'host') put(named(`host${family}`, ports), key);
}

function named(name: string, size: number): SetName {
  return { name, version: setVersion(name, size) };
}
