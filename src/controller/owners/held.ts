// What a node says it holds: all VIPs in a hello, then changes.

import type { HeldDelta, HeldVip } from '../../protocol/messages.ts';
import type { Address } from '../../state/address.ts';
import type { Term } from '../../state/term.ts';
import type { Table } from '../stream/table.ts';

/** The part of a node that a report of its VIPs changes. */
interface Holder {
  readonly held: Map<Address, Term>;
  readonly outdone: Set<Address>;
  readonly down: Set<Address>;
}

/** The node holds exactly these VIPs. Returns those that it holds no more. */
export function setHeld(node: Holder, vips: readonly HeldVip[]): readonly Address[] {
  node.down.clear();
  return changeHeld(node, { set: vips, remove: [...node.held.keys()] });
}

/** The stream of the node is over: it may take unheard what it was told of. */
export function assumeHeld({ held }: Pick<Holder, 'held'>, placements: Table<'placements'>): void {
  for (const address of placements.keys()) {
    const placed = placements.get(address);
    if (placed !== undefined && !held.has(address)) held.set(address, placed.term);
  }
}

/** Returns the VIPs that the node holds no more. */
export function changeHeld(node: Holder, { set, remove }: Omit<HeldDelta, 'type'>): readonly Address[] {
  const { held, outdone, down } = node;
  const gone = remove.filter((address) => held.delete(address));
  for (const address of remove) {
    outdone.delete(address);
    down.delete(address);
  }
  for (const { address, term, down: isDown = false } of set) {
    held.set(address, term);
    if (isDown) down.add(address);
    else down.delete(address);
  }
  return gone.filter((address) => !held.has(address));
}
