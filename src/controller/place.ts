// Chooses the node of a VIP by bounded-load rendezvous: evenly, and the same for the same nodes. Pure.

import type { Address } from '../state/address.ts';
import { finished, fnv, fnvBasis } from '../state/hash.ts';

export interface Candidate {
  readonly name: string;
  /** How many VIPs the node has or is nominated for. */
  readonly load: number;
  /** The hash of the node's name: seedOf(name). */
  readonly seed: number;
}

/**
 * Returns the preferred node if it is a candidate, else the highest score among the candidates below their
 * share; null without candidates. The share counts the new VIP, so no node gets more than one VIP more than
 * another.
 */
export function chooseNode(
  address: Address,
  candidates: readonly Candidate[],
  preferred: string | null = null,
): string | null {
  if (candidates.length === 0) return null;
  if (preferred !== null && candidates.some(({ name }) => name === preferred)) return preferred;
  let total = 0;
  for (const { load } of candidates) total += load;
  const share = Math.ceil((total + 1) / candidates.length);
  let best: { name: string; score: number } | null = null;
  for (const { name, load, seed } of candidates) {
    if (load >= share) continue;
    const value = score(seed, address);
    if (best === null || value > best.score || (value === best.score && name < best.name))
      best = { name, score: value };
  }
  return best?.name ?? null;
}

/** The part of a score that depends on the node alone, computed once a node. */
export function seedOf(node: string): number {
  return fnv(fnvBasis, `${node} `);
}

/** The final mix gives similar names unrelated scores. */
function score(seed: number, address: Address): number {
  return finished(fnv(seed, address)) >>> 0;
}
