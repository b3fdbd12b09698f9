// Finds nodes that were deleted while no controller ruled, which no watch reports. Once agents had time to
// come back, their VIPs move as if the Node were deleted now.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Controller } from '../controller.ts';
import { isMassRemoval } from '../readings/mass-removal.ts';

/** The Nodes of a cluster, from a list that was read to its end. */
export interface NodeList {
  readonly nodes: Pick<ReadonlyMap<string, unknown>, 'size' | 'has'>;
  /** Resolves when all Nodes were listed again. */
  listNodesAgain(): Promise<void>;
}

export interface DeletedNodesInput {
  readonly controller: Controller;
  readonly list: NodeList;
  /** How long agents may take to come back after this controller began to rule. */
  readonly returnMs: number;
  /** How long to wait for a second list if most VIPs would move. */
  readonly massRemovalWaitMs: number;
  /** Called if most VIPs are on nodes missing from the list: they wait for the second list. */
  readonly onMass: (vips: number) => void;
  /** Called with nodes that have no Node and sent this controller no hello. */
  readonly onGone: (nodes: ReadonlySet<string>) => void;
}

/** An agent that lost its stream is back after little more than five seconds. */
export const usualReturnMs = 10_000;

export class DeletedNodes {
  readonly #input: DeletedNodesInput;
  #timer: NodeJS.Timeout | undefined;

  constructor(input: DeletedNodesInput) {
    this.#input = input;
  }

  /** Called after each message of a node: one look is scheduled once VIPs are placed. */
  progressed(): void {
    const { controller, returnMs } = this.#input;
    if (this.#timer !== undefined || !controller.owners.isSettled) return;
    this.#timer = setTimeout(() => void this.#look(), returnMs).unref();
  }

  async #look(): Promise<void> {
    const { controller, list, massRemovalWaitMs, onMass, onGone } = this.#input;
    const found = this.#missing();
    if (found.size === 0) return;
    const lost = controller.owners.all.values().reduce((sum, { node }) => sum + (found.has(node) ? 1 : 0), 0);
    if (isMassRemoval({ lost, all: controller.owners.all.size })) {
      onMass(lost);
      await sleep(massRemovalWaitMs, undefined, { ref: false });
    }
    await list.listNodesAgain();
    const gone = this.#missing().intersection(found);
    if (gone.size > 0) onGone(gone);
  }

  /** An empty list proves nothing. A node that said hello lives, even outside the cluster. */
  #missing(): Set<string> {
    const { controller, list } = this.#input;
    if (list.nodes.size === 0) return new Set();
    const missing = [...controller.nodes.all()].filter(({ name, hello }) => {
      return hello === null && !list.nodes.has(name);
    });
    return new Set(missing.map(({ name }) => name));
  }
}
