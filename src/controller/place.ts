// Which node a VIP goes to: bounded-load rendezvous, so evenly, and the same for the same nodes. Pure.

import type { Address } from '../state/address.ts';
import { finished, fnv, fnvBasis } from '../state/hash.ts';

export interface Candidate {
  readonly name: string;
  /** How many VIPs it has, or has been chosen for. */
  readonly load: number;
  /** What its name alone does to its scores: seedOf(name). */
  readonly seed: number;
}

/**
 * The candidate that is preferred, or the one with the highest score among those that have not had their
 * share; null if there is none at all. The share counts the VIP that is being placed, so no node gets more
 * than the others by more than one.
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

/** The first half of a score: with many nodes and VIPs it is asked for once a node. */
export function seedOf(node: string): number {
  return fnv(fnvBasis, `${node} `);
}

/** Neighbours in name are no neighbours in score. */
function score(seed: number, address: Address): number {
  return finished(fnv(seed, address)) >>> 0;
}
