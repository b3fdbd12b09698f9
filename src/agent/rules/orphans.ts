// Elements that the kernel alone knows of: they stay until somebody knows all that is wanted.

import type { KernelObject, KernelObjects } from '../../dialects/dialect.ts';
import type { Capacities } from '../../state/desired-state.ts';
import type { Firewall } from '../firewall/firewall.ts';
import { capacitiesOf } from './capacities.ts';

export class Orphans {
  readonly #firewall: Pick<Firewall, 'inSetsOf' | 'setOf'>;
  #elements: Map<string, KernelObject> = new Map();

  constructor(firewall: Pick<Firewall, 'inSetsOf' | 'setOf'>) {
    this.#firewall = firewall;
  }

  get isEmpty(): boolean {
    return this.#elements.size === 0;
  }

  get elements(): Iterable<KernelObject> {
    return this.#elements.values();
  }

  /**
   * Replaces the orphans: those of `found` that were not rendered, though their set was. Returns what was
   * rendered, with the orphans.
   */
  take(found: Iterable<KernelObject>, rendered: KernelObjects): KernelObjects {
    const all = [...found];
    const elements = all.length === 0 ? [] : this.#firewall.inSetsOf(rendered.constants, all);
    this.#elements = new Map(elements.map((element) => [element.id, element]));
    if (this.isEmpty) return rendered;
    this.claim(rendered.elements);
    return { ...rendered, elements: [...rendered.elements, ...this.#elements.values()] };
  }

  /** These belong to a VIP now. */
  claim(elements: readonly KernelObject[]): void {
    for (const { id } of elements) this.#elements.delete(id);
  }

  /** The capacities that the orphans need beside these elements, some of which may be orphans. */
  capacitiesBeside(elements: readonly KernelObject[]): Capacities {
    const left = new Map(this.#elements);
    for (const { id } of elements) left.delete(id);
    return capacitiesOf(left.values(), this.#firewall);
  }
}
