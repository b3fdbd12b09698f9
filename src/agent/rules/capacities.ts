// How large the sets of either dialect must be for given elements.

import type { Delta, KernelObject } from '../../dialects/dialect.ts';
import type { Capacities } from '../../state/desired-state.ts';
import type { Firewall } from '../firewall/firewall.ts';

export const noCapacities: Capacities = {
  vips4: 0,
  vips6: 0,
  ports4: 0,
  ports6: 0,
  sources4: 0,
  sources6: 0,
};

/** The capacity that sizes each kind of set. */
const sizes: Readonly<Record<string, 'vips' | 'ports' | 'sources'>> = {
  vip: 'vips',
  drop: 'vips',
  egress: 'vips',
  allow: 'ports',
  host: 'ports',
  src: 'sources',
};

/** The capacities for these elements. Where sets share a capacity, the fullest counts. */
export function capacitiesOf(
  elements: Iterable<KernelObject>,
  { setOf }: Pick<Firewall, 'setOf'>,
): Capacities {
  const counts = new Map<string, number>();
  for (const element of elements) {
    const set = setOf(element);
    counts.set(set, (counts.get(set) ?? 0) + 1);
  }
  const capacities = { ...noCapacities };
  for (const [set, count] of counts) {
    const [, kind = '', family] = /(vip|drop|egress|allow|host|src)(4|6)/i.exec(set) ?? [];
    const sized = sizes[kind.toLowerCase()];
    if (sized === undefined) continue;
    const size = `${sized}${family === '4' ? 4 : 6}` as const;
    capacities[size] = Math.max(capacities[size], count);
  }
  return capacities;
}

/**
 * The capacities of the removed elements. They take space until the added ones are in, unless their set goes
 * too.
 */
export function capacitiesOfLeaving({ remove }: Delta, firewall: Pick<Firewall, 'setOf'>): Capacities {
  const gone = new Set<string>();
  for (const object of remove) if (object.owner === null) gone.add(firewall.setOf(object));
  const left = remove.filter((object) => object.owner !== null && !gone.has(firewall.setOf(object)));
  return left.length === 0 ? noCapacities : capacitiesOf(left, firewall);
}

export function addCapacities(a: Capacities, b: Capacities): Capacities {
  return {
    vips4: a.vips4 + b.vips4,
    vips6: a.vips6 + b.vips6,
    ports4: a.ports4 + b.ports4,
    ports6: a.ports6 + b.ports6,
    sources4: a.sources4 + b.sources4,
    sources6: a.sources6 + b.sources6,
  };
}

export function sameCapacities(a: Capacities, b: Capacities): boolean {
  return (
    a.vips4 === b.vips4 &&
    a.vips6 === b.vips6 &&
    a.ports4 === b.ports4 &&
    a.ports6 === b.ports6 &&
    a.sources4 === b.sources4 &&
    a.sources6 === b.sources6
  );
}
