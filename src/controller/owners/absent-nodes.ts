// Forgets nodes that are away, have no VIP and are not drained: after a day, or earlier if there are many.
// Nodes that are gone for good, and names that a host makes up, would be kept for ever otherwise.

import type { Controller } from '../controller.ts';
import type { Node } from './node.ts';

/** A node that is away for longer, without a VIP, is taken to be gone for good. */
export const keptForMs: number = 24 * 60 * 60 * 1000;
/** Most nodes that are away and not forgotten, unless they have VIPs or are drained. */
export const mostAbsent = 1000;

export class AbsentNodes {
  readonly #controller: Controller;
  /** When each node left, the longest absent first. */
  readonly #leftMs = new Map<string, number>();

  /** Drained nodes are in the records, and may have left before this controller started. */
  constructor(controller: Controller) {
    this.#controller = controller;
    for (const name of controller.drained) this.left(name);
  }

  left(name: string): void {
    this.#leftMs.set(name, this.#controller.nowMs());
  }

  returned(name: string): void {
    this.#leftMs.delete(name);
  }

  /** Called every second. */
  tick(): void {
    const { nodes, nowMs } = this.#controller;
    const dueMs = nowMs() - keptForMs;
    const stays = (name: string): boolean => this.#isNeeded(nodes.get(name));
    let excess = this.#leftMs.size - mostAbsent;
    // Nodes that have to stay push no other out. They are counted only if there are that many.
    if (excess > 0) excess -= [...this.#leftMs.keys()].filter(stays).length;
    for (const [name, leftMs] of this.#leftMs) {
      if (excess <= 0 && leftMs > dueMs) return;
      if (stays(name)) continue;
      excess--;
      this.#leftMs.delete(name);
      this.#controller.forget(name);
    }
  }

  #isNeeded(node: Node | undefined): boolean {
    if (node === undefined) return false;
    const { nominations } = this.#controller.owners;
    const hasVips = node.held.size + node.placements.size + nominations.on(node).length > 0;
    return hasVips || node.isDrained;
  }
}
