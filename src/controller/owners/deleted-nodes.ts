// Nodes that were deleted while no controller ruled: nobody tells of them any more. Their VIPs go to others
// as those of a Node that is deleted before our eyes, once everybody had the time to come back.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Controller } from '../controller.ts';
import { isMassRemoval } from '../readings/mass-removal.ts';

/** The Nodes of a cluster, by a list that was read to its end. */
export interface NodeList {
  readonly nodes: Pick<ReadonlyMap<string, unknown>, 'size' | 'has'>;
  /** Resolves when all were listed anew. */
  listNodesAgain(): Promise<void>;
}

export interface DeletedNodesInput {
  readonly controller: Controller;
  readonly list: NodeList;
  /** How long agents may take to come back after a controller has begun to rule. */
  readonly returnMs: number;
  /** How long it is waited for a second list where most VIPs would move. */
  readonly massRemovalWaitMs: number;
  /** Most VIPs are on nodes that are in no list: they wait for the second one. */
  readonly onMass: (vips: number) => void;
  /** These nodes have no Node, and have said nothing since we rule. */
  readonly onGone: (nodes: ReadonlySet<string>) => void;
}

/** An agent that lost its stream is back within five seconds and a little more. */
export const usualReturnMs = 10_000;

export class DeletedNodes {
  readonly #input: DeletedNodesInput;
  #timer: NodeJS.Timeout | undefined;

  constructor(input: DeletedNodesInput) {
    this.#input = input;
  }

  /** Placement may have begun: they are looked for once from then on. */
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

  /** A list without any Node says nothing of anybody. One who said hello lives, if outside the cluster. */
  #missing(): Set<string> {
    const { controller, list } = this.#input;
    if (list.nodes.size === 0) return new Set();
    const missing = [...controller.nodes.all()].filter(({ name, hello }) => {
      return hello === null && !list.nodes.has(name);
    });
    return new Set(missing.map(({ name }) => name));
  }
}
