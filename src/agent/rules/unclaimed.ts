// Elements that the kernel alone knows of: they stay until somebody knows all that is wanted.

import type { KernelObject, KernelObjects } from '../../dialects/dialect.ts';
import type { Capacities } from '../../state/desired-state.ts';
import type { Firewall } from '../firewall/firewall.ts';
import { roomOf } from './room.ts';

export class Unclaimed {
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
   * These from now on, in the sets that were rendered, less what was rendered itself. Returns both together.
   */
  take(found: Iterable<KernelObject>, rendered: KernelObjects): KernelObjects {
    const all = [...found];
    const elements = all.length === 0 ? [] : this.#firewall.inSetsOf(rendered.constants, all);
    this.#elements = new Map(elements.map((element) => [element.id, element]));
    if (this.isEmpty) return rendered;
    this.claim(rendered.elements);
    return { ...rendered, elements: [...rendered.elements, ...this.#elements.values()] };
  }

  /** These are somebody's now. */
  claim(elements: readonly KernelObject[]): void {
    for (const { id } of elements) this.#elements.delete(id);
  }

  /** What they take beside these, some of which may be the same. */
  roomBeside(elements: readonly KernelObject[]): Capacities {
    const left = new Map(this.#elements);
    for (const { id } of elements) left.delete(id);
    return roomOf(left.values(), this.#firewall);
  }
}
