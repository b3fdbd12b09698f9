// Counts what all VIPs together need of the constant part of the firewall, change by change.

import { type Address, familyOf, prefixLength } from '../../state/address.ts';
import type { Capacities, Needs } from '../../state/desired-state.ts';
import { SteadyMap } from '../../state/steady-map.ts';
import type { VirtualIp } from '../../state/virtual-ip.ts';
import { addCapacities, noCapacities, sameCapacities } from './capacities.ts';

const leastCapacity = 1024;

/** Counts of one family. */
interface Tally {
  vips: number;
  ports: number;
  /** The number of source ranges per prefix length; /0 is not counted. */
  readonly lengths: Map<number, number>;
}

/** Returns the same Needs object as long as nothing in it differs: a diff recognises it by identity. */
export class Census {
  readonly #fixed: number | undefined;
  readonly #tallies = { 4: tally(), 6: tally() };
  readonly #counted = new SteadyMap<Address, VirtualIp>();
  /** The capacities of elements that are no longer counted but are in the kernel until `settle`. */
  #leaving = noCapacities;
  /** The capacities set by `reserve`. */
  #reserved = noCapacities;
  #egress = 0;
  #forward = 0;
  #floor: Needs | null = null;
  #known: Needs | undefined;
  /** The fixed size is too small for what is in the kernel: sets that are larger there stay. */
  #keepsLarger = false;
  /** Something other than the number of addresses or ports may differ from `#known`. */
  #changed = true;

  /** With `fixedCapacity` every set has that size and never grows. */
  constructor(fixedCapacity?: number) {
    this.#fixed = fixedCapacity;
  }

  /** Counts a VIP as it will be. Until `settle` there is room for its former elements too. */
  set(key: Address, vip: VirtualIp | undefined): void {
    const before = this.#counted.get(key);
    if (before === vip) return;
    if (before !== undefined) {
      this.#count(before, -1);
      this.#leave(before, vip?.filtered === true);
    }
    if (vip === undefined) this.#counted.delete(key);
    else {
      this.#counted.set(key, vip);
      this.#count(vip, 1);
    }
  }

  /** The kernel holds exactly the counted VIPs. */
  settle(): void {
    this.#leaving = noCapacities;
  }

  /** Reserves these capacities beside the VIPs, until the next call. */
  reserve(capacities: Capacities): void {
    this.#changed ||= capacities !== this.#reserved;
    this.#reserved = capacities;
  }

  /**
   * Keeps the needs that the kernel serves already. Sets never shrink; the other needs stay until `release`.
   */
  keep(found: Needs | null): void {
    this.#floor = found;
    this.#changed = true;
  }

  /**
   * Lets sets of the kernel stay that are larger than the fixed size. Returns whether that changes anything:
   * the kernel has refused the smaller ones.
   */
  keepLarger({ capacities }: Needs): boolean {
    const fixed = this.#fixed ?? Number.POSITIVE_INFINITY;
    if (this.#keepsLarger || !Object.values(capacities).some((size) => size > fixed)) return false;
    this.#keepsLarger = true;
    return true;
  }

  /** Keeps only the set sizes of what `keep` was given. */
  release(): void {
    if (this.#floor === null) return;
    this.#changed = true;
    this.#floor = { ...this.#floor, sourceLengths4: [], sourceLengths6: [], egress: false, forward: false };
  }

  needs(): Needs {
    if (this.#known !== undefined && !this.#changed && this.#fits(this.#known.capacities)) return this.#known;
    this.#changed = false;
    const fresh = this.#compute();
    if (this.#known === undefined || !sameNeeds(this.#known, fresh)) this.#known = fresh;
    return this.#known;
  }

  /** Whether the counted VIPs fit. Sets only grow, so sufficient sizes stay. */
  #fits({ vips4, vips6, ports4, ports6 }: Capacities): boolean {
    if (this.#fixed !== undefined) return true;
    const { 4: of4, 6: of6 } = this.#tallies;
    const beside = this.#beside();
    if (of4.vips + beside.vips4 > vips4 || of6.vips + beside.vips6 > vips6) return false;
    return of4.ports + beside.ports4 <= ports4 && of6.ports + beside.ports6 <= ports6;
  }

  #beside(): Capacities {
    if (this.#leaving === noCapacities) return this.#reserved;
    return this.#reserved === noCapacities ? this.#leaving : addCapacities(this.#leaving, this.#reserved);
  }

  #compute(): Needs {
    const floor = this.#floor;
    const { 4: of4, 6: of6 } = this.#tallies;
    const known = this.#known?.capacities;
    const beside = this.#beside();
    const capacity = (count: number, of: keyof Capacities) =>
      this.#capacity(count + beside[of], Math.max(known?.[of] ?? 0, floor?.capacities[of] ?? 0));
    return {
      sourceLengths4: union(of4.lengths, floor?.sourceLengths4),
      sourceLengths6: union(of6.lengths, floor?.sourceLengths6),
      egress: this.#egress > 0 || floor?.egress === true,
      forward: this.#forward > 0 || floor?.forward === true,
      capacities: {
        vips4: capacity(of4.vips, 'vips4'),
        vips6: capacity(of6.vips, 'vips6'),
        ports4: capacity(of4.ports, 'ports4'),
        ports6: capacity(of6.ports, 'ports6'),
        sources4: capacity(sum(of4.lengths), 'sources4'),
        sources6: capacity(sum(of6.lengths), 'sources6'),
      },
    };
  }

  /** A full set grows to at least twice the elements needed, so that growing stays rare. */
  #capacity(count: number, known: number): number {
    if (this.#fixed !== undefined) return this.#keepsLarger ? Math.max(known, this.#fixed) : this.#fixed;
    const least = Math.max(known, leastCapacity);
    return count <= least ? least : 2 ** Math.ceil(Math.log2(count * 2));
  }

  /**
   * Adds the former elements of a VIP. If the VIP stays, its address element is the same before and after.
   */
  #leave({ address, filtered, ports }: VirtualIp, stays: boolean): void {
    if (!filtered) return;
    const vips = stays ? 0 : 1;
    const sources = ports.reduce((sum, port) => sum + (port.sources?.length ?? 0), 0);
    const capacities =
      familyOf(address) === 4
        ? { ...noCapacities, vips4: vips, ports4: ports.length, sources4: sources }
        : { ...noCapacities, vips6: vips, ports6: ports.length, sources6: sources };
    this.#leaving = addCapacities(this.#leaving, capacities);
  }

  #count(vip: VirtualIp, by: 1 | -1): void {
    if (!vip.filtered) return;
    const family = familyOf(vip.address);
    const tallied = this.#tallies[family];
    tallied.vips += by;
    tallied.ports += by * vip.ports.length;
    const forward = this.#forward;
    if (vip.egress) this.#egress += by;
    this.#changed ||= vip.egress;
    for (const { delivery, sources } of vip.ports) {
      if (delivery === 'forward') this.#forward += by;
      if (sources === null) continue;
      this.#changed = true;
      for (const prefix of sources) {
        const length = prefixLength(prefix);
        if (length === 0 || familyOf(prefix) !== family) continue;
        tallied.lengths.set(length, (tallied.lengths.get(length) ?? 0) + by);
      }
    }
    this.#changed ||= forward > 0 !== this.#forward > 0;
  }
}

function tally(): Tally {
  return { vips: 0, ports: 0, lengths: new Map() };
}

function sum(lengths: ReadonlyMap<number, number>): number {
  let total = 0;
  for (const count of lengths.values()) total += count;
  return total;
}

function union(lengths: ReadonlyMap<number, number>, floor: readonly number[] = []): number[] {
  if (lengths.size === 0 && floor.length === 0) return [];
  const used = [...lengths].filter(([, count]) => count > 0).map(([length]) => length);
  return [...new Set([...used, ...floor])].sort((a, b) => a - b);
}

function sameNeeds(a: Needs, b: Needs): boolean {
  return (
    a.egress === b.egress &&
    a.forward === b.forward &&
    sameLengths(a.sourceLengths4, b.sourceLengths4) &&
    sameLengths(a.sourceLengths6, b.sourceLengths6) &&
    sameCapacities(a.capacities, b.capacities)
  );
}

function sameLengths(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((length, index) => length === b[index]);
}
