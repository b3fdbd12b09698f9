// Desired state -> the objects that sets and tables should hold. VIPs share no elements, so a change costs
// one VIP.

import { type Address, familyOf, prefixAddress, prefixLength } from '../../state/address.ts';
import type { DesiredState, Needs } from '../../state/desired-state.ts';
import { protocolNumbers } from '../../state/port.ts';
import type { VipPort, VirtualIp } from '../../state/virtual-ip.ts';
import type { KernelObjects } from '../dialect.ts';
import { type setKinds, setName } from './constants.ts';
import {
  addressKey,
  type ElementObject,
  elementObject,
  type Key,
  type SetHandle,
  setHandle,
  setObject,
  type XtObject,
} from './objects.ts';
import { ruleset, setShapes, type XtOptions } from './ruleset.ts';

/**
 * A render() that keeps the constant part while the needs stay the same, so that a diff can skip it by
 * identity.
 */
export function renderer(options: XtOptions): (state: DesiredState) => KernelObjects<XtObject> {
  let known: { needs: Needs; constants: readonly XtObject[]; sets: Sets } | undefined;
  return (state) => {
    const { needs } = state;
    if (known?.needs !== needs)
      known = { needs, constants: ruleset(needs, options), sets: setsOf(needs, options) };
    const elements: ElementObject[] = [];
    for (const vip of state.vips) vipElements(vip, known.sets, elements);
    return { constants: known.constants, elements, needs: null };
  };
}

type Kind = (typeof setKinds)[number];

/** The sets that elements go into, by family and kind. */
type Sets = Readonly<Record<4 | 6, Readonly<Record<Kind, SetHandle>>>>;

function setsOf(needs: Needs, options: XtOptions): Sets {
  const shapes = setShapes({ ...needs, egress: true }, options);
  const handles = new Map(shapes.map((shape) => [shape.name, setHandle(setObject(shape))]));
  const of = (family: 4 | 6): Record<Kind, SetHandle> => {
    const named = (kind: Kind): SetHandle => {
      const handle = handles.get(setName(kind, family));
      if (handle === undefined) throw new Error(`there is no set ${setName(kind, family)}`);
      return handle;
    };
    return {
      egress: named('egress'),
      drop: named('drop'),
      vip: named('vip'),
      allow: named('allow'),
      host: named('host'),
      src: named('src'),
    };
  };
  return { 4: of(4), 6: of(6) };
}

/** The gate comes last: a VIP is filtered only once its ports are in. */
function vipElements(vip: VirtualIp, sets: Sets, out: ElementObject[]): void {
  if (!vip.filtered) return;
  const { egress, drop, vip: gate } = sets[familyOf(vip.address)];
  const key = addressKey(vip.address);
  for (const port of vip.ports) portElements(vip.address, port, sets, out);
  if (vip.egress) out.push(elementObject(egress, key));
  out.push(elementObject(drop, key));
  out.push(elementObject(gate, key));
}

function portElements(
  address: Address,
  { protocol, port, sources, delivery, service }: VipPort,
  sets: Sets,
  out: ElementObject[],
): void {
  const family = familyOf(address);
  const { allow, src, host } = sets[family];
  const key: Key = { address, protocol: protocolNumbers[protocol], port, source: null, sourceLength: 0 };
  if (sources === null) out.push(elementObject(allow, key, service));
  else
    for (const prefix of new Set(sources)) {
      if (familyOf(prefix) !== family) continue;
      const sourceLength = prefixLength(prefix);
      const ranged = { ...key, source: prefixAddress(prefix), sourceLength };
      out.push(sourceLength === 0 ? elementObject(allow, key, service) : elementObject(src, ranged, service));
    }
  if (delivery === 'host') out.push(elementObject(host, key, service));
}
