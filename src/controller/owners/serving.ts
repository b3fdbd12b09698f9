// Whether a VIP answers.

import type { Address } from '../../state/address.ts';
import type { Owners } from './owners.ts';

/** True if the owner is connected, holds the VIP and has its rules in the kernel. */
export function isServing(owners: Owners, address: Address): boolean {
  const node = owners.nodeOf(address);
  if (!node?.isConnected || owners.leaving.has(address) || owners.moves.has(address)) return false;
  return node.held.has(address) && owners.candidates.hasRules(node, address);
}
