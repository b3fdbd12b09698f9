// Planned moves: the old owner falls silent, the new one announces, the old one lets go, the new one
// announces again for hosts that learned the old MAC meanwhile. Then the caller is answered.

import type { Address } from '../../state/address.ts';
import { compareTerms, type Term } from '../../state/term.ts';
import type { Owner } from '../records/records.ts';
import type { Node } from './node.ts';
import type { Nodes } from './nodes.ts';
import type { Outbox } from './outbox.ts';
import { Unacked } from './unacked.ts';

/** Why VIPs are moved: the verbs, a node that may have no VIP, or endpoints on another node. */
export const MoveReason = {
  Asked: 'Asked',
  Drained: 'Drained',
  NoEligibleNode: 'NoEligibleNode',
  NoLocalEndpoints: 'NoLocalEndpoints',
} as const;
export type MoveReason = (typeof MoveReason)[keyof typeof MoveReason];

/** How a move ended: done, or why not. */
export type MoveResult = { readonly term: Term } | { readonly failed: string };

/** How long an operator's move may take before it is given up. */
export const moveDeadlineMs = 60_000;

/** A move to begin. */
export interface MoveOrder {
  readonly to: Node;
  readonly reason: MoveReason;
  /** When the move is given up: the nodes that it waits for may never answer. */
  readonly deadlineMs: number;
}

interface Move {
  readonly address: Address;
  readonly from: Owner | undefined;
  readonly to: Node;
  readonly term: Term;
  /** Set once the new owner holds the VIP: the placements version with which the old owner lets go. */
  letGoSeq: number | null;
  readonly result: Promise<MoveResult>;
  /** Ends the move. A failed move gives the VIP back to its owner. */
  readonly finished: (result: MoveResult) => void;
  /** Answers the caller, and does nothing else. */
  readonly answer: (result: MoveResult) => void;
}

export interface MovesInput {
  readonly nodes: Nodes;
  readonly outbox: Outbox;
  /** Makes a node the owner of a VIP, and tells it. */
  readonly own: (address: Address, owner: Owner) => void;
  /** The present owners. */
  readonly owners: ReadonlyMap<Address, Owner>;
  readonly nextTerm: () => Term;
}

export class Moves {
  readonly #input: MovesInput;
  readonly #moves = new Map<Address, Move>();
  /** What old owners were told to let go of. */
  readonly #unacked = new Unacked();
  /** Completed moves since the start. */
  readonly completed: Record<MoveReason, number> = {
    Asked: 0,
    Drained: 0,
    NoEligibleNode: 0,
    NoLocalEndpoints: 0,
  };

  constructor(input: MovesInput) {
    this.#input = input;
  }

  has(address: Address): boolean {
    return this.#moves.has(address);
  }

  /** How the move of a VIP ends; undefined if there is none. */
  resultOf(address: Address): Promise<MoveResult> | undefined {
    return this.#moves.get(address)?.result;
  }

  /** How the move of a VIP from this node ends; undefined if there is none. */
  awayFrom(node: string, address: Address): Promise<MoveResult> | undefined {
    const move = this.#moves.get(address);
    return move?.from?.node === node ? move.result : undefined;
  }

  /** Moves a VIP by a new term, and by another one if it has to go back. */
  begin(address: Address, { to, reason, deadlineMs }: MoveOrder): Promise<MoveResult> {
    this.cancel(address, 'another move was requested');
    const { promise, resolve } = Promise.withResolvers<MoveResult>();
    const { nodes, outbox, own, owners, nextTerm } = this.#input;
    const from = owners.get(address);
    const term = nextTerm();
    const timer = setTimeout(() => this.#expire(address, `${deadlineMs / 1000} s`), deadlineMs).unref();
    const answer = (result: MoveResult) => {
      clearTimeout(timer);
      resolve(result);
    };
    const old = from === undefined ? undefined : nodes.get(from.node);
    const finished = (result: MoveResult) => {
      this.#forget(address);
      if ('failed' in result && from !== undefined)
        this.#giveBack(address, to, { node: from.node, term: nextTerm() });
      else if ('term' in result) {
        this.completed[reason]++;
        if (old !== undefined) outbox.repeat(to, address);
      }
      answer(result);
    };
    const move = { address, from, to, term, letGoSeq: null, result: promise, finished, answer };
    this.#moves.set(address, move);
    if (old !== undefined) {
      old.moving.add(address);
      outbox.repeat(old, address);
    }
    own(address, { node: to.name, term });
    outbox.flush();
    return promise;
  }

  /** Ends a move that became pointless. It counts as done if the new owner holds the VIP. */
  cancel(address: Address, why: string): void {
    const move = this.#moves.get(address);
    if (move === undefined) return;
    // The new owner holds the VIP, and the old one was told to let go.
    if (move.letGoSeq !== null) move.finished({ term: move.term });
    else move.finished({ failed: why });
  }

  /** A node took a VIP or let go of it: its move goes on if it waited for this. */
  heldChanged(node: Node, address: Address): void {
    const move = this.#moves.get(address);
    if (move !== undefined) this.#step(move, node);
  }

  /** A node committed something: moves that waited for this go on. */
  acked(node: Node): void {
    for (const address of this.#unacked.take(node)) this.heldChanged(node, address);
  }

  /** The node refused the VIP, which ends a move to it. If the address is its own, it ends any move. */
  refused(node: Node, address: Address): void {
    const move = this.#moves.get(address);
    if (move === undefined || move.letGoSeq !== null) return;
    if (move.to !== node && !node.hasItself(address)) return;
    const refusal = node.refusalOf(address);
    move.finished({
      failed: `${node.name} refused it: ${refusal?.code ?? 'Forbidden'}: ${refusal?.reason ?? ''}`,
    });
  }

  gone(node: Node): void {
    for (const move of this.#moves.values()) {
      if (move.to === node && move.letGoSeq === null) {
        move.finished({ failed: `${node.name} disconnected before it held the VIP` });
      } else if (move.from?.node === node.name && move.letGoSeq !== null) {
        move.finished({ term: move.term });
      }
    }
  }

  #step(move: Move, node: Node): void {
    const { address, from, to, term } = move;
    if (node === to && move.letGoSeq === null) {
      const held = to.held.get(address);
      if (held === undefined || compareTerms(held, term) < 0) return;
      const old = from === undefined ? undefined : this.#input.nodes.get(from.node);
      if (old === undefined || old === to) {
        move.finished({ term });
        return;
      }
      this.#input.outbox.remove(old, address);
      this.#input.outbox.flush();
      move.letGoSeq = this.#unacked.add(old, address);
      // A disconnected node cannot be waited for: it is told when it comes back.
      if (!old.isConnected) move.finished({ term });
      // It may never have been told of the VIP, and has nothing to acknowledge then.
      else this.#step(move, old);
    } else if (node.name === from?.node && move.letGoSeq !== null) {
      if (node.hasAcked('placements', move.letGoSeq) && !node.held.has(address)) move.finished({ term });
    }
  }

  /** The move took too long. The VIP stays with the new owner if that holds it, else it goes back. */
  #expire(address: Address, after: string): void {
    const move = this.#moves.get(address);
    if (move === undefined) return;
    const { from, to, letGoSeq } = move;
    if (letGoSeq === null) {
      const stays = from === undefined ? '' : `, and ${from.node} keeps it`;
      move.finished({ failed: `${to.name} has not announced it within ${after}${stays}` });
    } else {
      this.#forget(address);
      move.answer({
        failed: `${to.name} has it, but ${from?.node} did not confirm its release within ${after}`,
      });
    }
  }

  #forget(address: Address): void {
    const { from } = this.#moves.get(address) ?? {};
    if (from !== undefined) this.#input.nodes.get(from.node)?.moving.delete(address);
    this.#moves.delete(address);
  }

  #giveBack(address: Address, to: Node, owner: Owner): void {
    this.#input.outbox.remove(to, address);
    this.#input.own(address, owner);
    this.#input.outbox.flush();
  }
}
