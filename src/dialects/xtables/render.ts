// Desired state -> the objects that sets and tables should hold. A VIP's elements are its own alone, so a
// change costs one VIP.

import { type Address, familyOf, prefixAddress, prefixLength } from '../../state/address.ts';
import type { Capacities, DesiredState, Needs } from '../../state/desired-state.ts';
import { protocolNumbers } from '../../state/port.ts';
import type { VipPort, VirtualIp } from '../../state/virtual-ip.ts';
import type { KernelObjects } from '../dialect.ts';
import { type SetKind, setName } from './constants.ts';
import {
  addressKey,
  type ElementObject,
  elementObject,
  type Key,
  setVersion,
  type XtObject,
} from './objects.ts';
import { ruleset, type XtOptions } from './ruleset.ts';

/**
 * A render() that keeps the constant part, and with it the identity by which a diff knows that nothing
 * differs.
 */
export function renderer(options: XtOptions): (state: DesiredState) => KernelObjects<XtObject> {
  let known: { needs: Needs; constants: readonly XtObject[] } | undefined;
  return (state) => {
    if (known?.needs !== state.needs)
      known = { needs: state.needs, constants: ruleset(state.needs, options) };
    const elements: ElementObject[] = [];
    for (const vip of state.vips) vipElements(vip, state.needs.capacities, elements);
    return { constants: known.constants, elements, needs: null };
  };
}

/** The gate comes last: a VIP is guarded only when its ports are known. */
function vipElements(vip: VirtualIp, capacities: Capacities, out: ElementObject[]): void {
  if (!vip.filtered) return;
  const family = familyOf(vip.address);
  const vips = family === 4 ? capacities.vips4 : capacities.vips6;
  const key = addressKey(vip.address);
  for (const port of vip.ports) portElements(vip.address, port, capacities, out);
  if (vip.egress) out.push(elementObject(named('egress', family, vips), key));
  out.push(elementObject(named('drop', family, vips), key));
  out.push(elementObject(named('vip', family, vips), key));
}

function portElements(
  address: Address,
  { protocol, port, sources, delivery, service }: VipPort,
  capacities: Capacities,
  out: ElementObject[],
): void {
  const family = familyOf(address);
  const [ports, ranges] =
    family === 4 ? [capacities.ports4, capacities.sources4] : [capacities.ports6, capacities.sources6];
  const key: Key = { address, protocol: protocolNumbers[protocol], port, source: null, sourceLength: 0 };
  const prefixes = new Set(sources ?? []);
  const open =
    sources === null || [...prefixes].some((one) => familyOf(one) === family && prefixLength(one) === 0);
  if (open) out.push(elementObject(named('allow', family, ports), key, service));
  for (const prefix of prefixes) {
    const sourceLength = prefixLength(prefix);
    if (familyOf(prefix) !== family || sourceLength === 0) continue;
    const ranged = { ...key, source: prefixAddress(prefix), sourceLength };
    out.push(elementObject(named('src', family, ranges), ranged, service));
  }
  if (delivery === 'host') out.push(elementObject(named('host', family, ports), key, service));
}

function named(kind: SetKind, family: 4 | 6, size: number): { name: string; version: string } {
  const name = setName(kind, family);
  return { name, version: setVersion(name, size) };
}
