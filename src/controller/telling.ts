// The rules on their way to all nodes: what each lacks is noted at once, and told in turns. Of a thousand
// nodes the last is told some turns later, so that acknowledgements are heard and timers fire meanwhile.

import type { Node, Nodes } from './nodes.ts';
import type { Change } from './table.ts';
import { TurnQueue } from './turns.ts';

export class Telling {
  readonly #nodes: Nodes;
  readonly #queue = new TurnQueue<Node>((node) => node.stream?.pump());

  constructor(nodes: Nodes) {
    this.#nodes = nodes;
  }

  /** Some node has not been told yet. */
  get isUnderWay(): boolean {
    return this.#queue.isRunning;
  }

  tell(change: Change): void {
    for (const node of this.#nodes.connected()) node.stream?.note('rules', change);
    this.#queue.add(this.#nodes.connected());
  }
}
