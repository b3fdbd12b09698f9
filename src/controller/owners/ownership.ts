// Who owns each VIP, by which term. A change is recorded and told to the nodes that it concerns.

import type { Address } from '../../state/address.ts';
import type { Term } from '../../state/term.ts';
import type { Owner } from '../records/records.ts';
import type { Candidates } from './candidates.ts';
import type { Claims } from './claims.ts';
import type { Node } from './node.ts';
import type { Nodes } from './nodes.ts';
import type { Outbox } from './outbox.ts';

export interface OwnershipInput {
  readonly nodes: Nodes;
  readonly claims: Claims;
  readonly candidates: Candidates;
  readonly outbox: Outbox;
  /** The owners by the records. */
  readonly owners: ReadonlyMap<Address, Owner>;
  /** A term above all that were issued. */
  readonly nextTerm: () => Term;
  /** Called when something that the records hold has changed. */
  readonly onChange: () => void;
  /** Called before a VIP gets an owner: it needs no other node any more. */
  readonly onOwned: (address: Address) => void;
}

export class Ownership {
  readonly all: ReadonlyMap<Address, Owner>;
  readonly #owners: Map<Address, Owner>;
  readonly #input: OwnershipInput;

  constructor(input: OwnershipInput) {
    this.#input = input;
    this.#owners = new Map(input.owners);
    this.all = this.#owners;
    for (const { node } of this.#owners.values()) input.candidates.count(node, 1);
  }

  /** The node of the owner; undefined also if it was forgotten. */
  nodeOf(address: Address): Node | undefined {
    const owner = this.#owners.get(address);
    return owner === undefined ? undefined : this.#input.nodes.get(owner.node);
  }

  /** Records an owner and tells its node. The former owner is told nothing by this. */
  readonly own = (address: Address, owner: Owner): void => {
    const { claims, candidates, onChange, onOwned } = this.#input;
    onOwned(address);
    claims.given(address, { from: this.#owners.get(address)?.node, to: owner.node });
    this.disown(address);
    this.#owners.set(address, owner);
    candidates.count(owner.node, 1);
    this.tell(address);
    onChange();
  };

  /** Like own(), and a former owner has to let go. */
  take(address: Address, owner: Owner): void {
    const former = this.nodeOf(address);
    if (former !== undefined) this.#input.outbox.remove(former, address);
    this.own(address, owner);
  }

  /** Gives the VIP, by a new term, to a node that has its rules. */
  readonly place = (address: Address, node: Node): void => {
    this.take(address, { node: node.name, term: this.#input.nextTerm() });
  };

  /** A node that was forgotten is told nothing until it is back, and then of all its VIPs. */
  tell(address: Address): void {
    const [owner, node] = [this.#owners.get(address), this.nodeOf(address)];
    if (owner !== undefined && node !== undefined)
      this.#input.outbox.set(node, { address, term: owner.term });
  }

  disown(address: Address): void {
    const { claims, candidates, onChange } = this.#input;
    const owner = this.#owners.get(address);
    if (owner === undefined) return;
    this.#owners.delete(address);
    claims.confirm(address);
    candidates.count(owner.node, -1);
    onChange();
  }
}
