// Elements in the kernel that no known VIP owns. They stay until the agent is in sync.

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
   * Replaces the orphans by the elements of `found` that are not rendered although their set is. Returns
   * `rendered` with the orphans.
   */
  take(found: Iterable<KernelObject>, rendered: KernelObjects): KernelObjects {
    const all = [...found];
    const elements = all.length === 0 ? [] : this.#firewall.inSetsOf(rendered.constants, all);
    this.#elements = new Map(elements.map((element) => [element.id, element]));
    if (this.isEmpty) return rendered;
    this.claim(rendered.elements);
    return { ...rendered, elements: [...rendered.elements, ...this.#elements.values()] };
  }

  /** These elements belong to a VIP now. */
  claim(elements: readonly KernelObject[]): void {
    for (const { id } of elements) this.#elements.delete(id);
  }

  /** The capacities of the orphans that are not among these elements. */
  capacitiesBeside(elements: readonly KernelObject[]): Capacities {
    const left = new Map(this.#elements);
    for (const { id } of elements) left.delete(id);
    return capacitiesOf(left.values(), this.#firewall);
  }
}
