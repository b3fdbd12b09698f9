// Services that were given other addresses keep the old ones until the new ones are served, and are then
// applied again.

import type { ServiceChanges } from './allocate.ts';
import type { Controller } from './controller.ts';

/** What agents say comes in many words: they are heard together. */
const gatherMs = 50;

export class Replacing {
  readonly #controller: Controller;
  readonly #follow: (changes: ServiceChanges) => void;
  #timer: NodeJS.Timeout | undefined;

  /** `follow` is told of Services as a source tells of them. */
  constructor(controller: Controller, follow: (changes: ServiceChanges) => void) {
    this.#controller = controller;
    this.#follow = follow;
  }

  /** A node has said something: what is awaited may be served. */
  readonly progressed = (): void => {
    if (this.#controller.allocator.outgoing.size > 0)
      this.#timer ??= setTimeout(() => this.#look(), gatherMs).unref();
  };

  #look(): void {
    this.#timer = undefined;
    const { allocator } = this.#controller;
    const set = [...allocator.outgoing.keys()].flatMap((key) => {
      const service = allocator.services.get(key);
      return service !== undefined && allocator.addressesOf(key).every(allocator.isServed) ? [service] : [];
    });
    if (set.length > 0) this.#follow({ set, remove: [] });
  }
}
