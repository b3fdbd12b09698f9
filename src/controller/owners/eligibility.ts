// Which nodes a VIP may be on by what the cluster says of nodes and endpoints, and what follows when that
// changes: a VIP whose node may not have it any more is moved, or withdrawn where nobody may.

import { type Address, type Family, familyOf } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import type { Controller } from '../controller.ts';
import { chooseNode } from '../place.ts';
import { TurnQueue } from '../turns.ts';
import type { Bar } from './nodes.ts';

/** The nodes that have an endpoint to serve from; null while that is not known. */
export type EndpointNodes = (key: ServiceKey, family: Family) => ReadonlySet<string> | null;

export interface EligibilityInput {
  readonly controller: Controller;
  readonly endpointNodes: EndpointNodes;
}

/** A Service that is Local, and the nodes that it may be served from; null while they are not known. */
interface LocalService {
  readonly key: ServiceKey;
  readonly nodes: ReadonlySet<string> | null;
}

/** A move whose new owner does not answer for the VIP by then is given up, and tried again. */
const unaskedMoveDeadlineMs = 10_000;
/** How long what nodes say is gathered: all VIPs that wait are looked at for it. */
export const gatherMs = 200;

export class Eligibility {
  readonly #input: EligibilityInput;
  /** Nodes that may have no VIP, and why. */
  #barred: ReadonlyMap<string, string> = new Map();
  /** Those of them that this was last told of: the map is the caller's, and changes. */
  #told: ReadonlySet<string> = new Set();
  #gone: ReadonlySet<string> = new Set();
  /** VIPs to be looked at again: nobody else could take them, or nodes were still saying what they have. */
  readonly #waiting = new Set<Address>();
  readonly #reviews = new TurnQueue<Address>((address) => this.#look(address));
  #timer: NodeJS.Timeout | undefined;

  constructor(input: EligibilityInput) {
    this.#input = input;
    input.controller.nodes.bar = this.bar;
    input.controller.nodes.claimed = (addresses) => this.review(addresses);
  }

  /** Nodes that may have no VIP, and why; those that are not named any more may have them again. */
  set barred(barred: ReadonlyMap<string, string>) {
    const isAnyBack = this.#told.values().some((node) => !barred.has(node));
    this.#told = new Set(barred.keys());
    this.#barred = barred;
    this.#reviewOf(barred);
    if (isAnyBack) this.review(this.#comingBack());
    // Those that are not named any more may be what a VIP waits for.
    this.#input.controller.owners.retry();
  }

  /** Nodes that were deleted before this controller ruled: they may have no VIP until they say something. */
  set gone(nodes: ReadonlySet<string>) {
    this.#gone = nodes;
    this.#reviewOf(nodes);
    this.#input.controller.owners.retry();
  }

  /** Why the cluster does not want the VIP on a node, or null. */
  readonly bar = (address: Address): ((node: string) => Bar | null) => {
    const local = this.#localOn(address);
    if (local.length === 0) return this.#barFromAll;
    return (node) => {
      const bar = this.#barFromAll(node);
      if (bar !== null) return bar;
      const missing = local.find(({ nodes }) => nodes?.has(node) !== true);
      if (missing === undefined) return null;
      const { key, nodes } = missing;
      const what = nodes === null ? 'its endpoints were not read yet' : 'no ready endpoint of it is there';
      return { reason: 'NoLocalEndpoints', message: `${node}: ${key} is Local, and ${what}` };
    };
  };

  /** Looks at VIPs that may have to go elsewhere, or may now find a node. */
  review(addresses: Iterable<Address>): void {
    if (this.#isEarly()) {
      for (const address of addresses) this.#waiting.add(address);
      return;
    }
    const reviewed = [...addresses];
    this.#reviews.add(reviewed);
    this.#input.controller.owners.retry(reviewed);
  }

  /** A node has come or committed something, or all had their time: what found no other node may find one. */
  progressed(): void {
    if (this.#waiting.size === 0 || this.#isEarly()) return;
    this.#timer ??= setTimeout(this.#again, gatherMs).unref();
  }

  /**
   * The Services that a VIP may only be with: those that are Local, as far as they leave it a node of those
   * that may have VIPs.
   */
  #localOn(address: Address, mayHave = this.#isOpen): readonly LocalService[] {
    const users = this.#input.controller.allocator.usersOf(address);
    const local = users
      .filter(({ trafficPolicy }) => trafficPolicy === 'Local')
      .map(({ key }) => ({ key, nodes: this.#input.endpointNodes(key, familyOf(address)) }));
    if (local.length === 0 || users.length === 1) return local;
    // Whose ports all belong to others is reached by none of them, wherever the VIP is.
    const ports = this.#input.controller.rules.get(address)?.ports;
    const served = new Set(ports?.map(({ service }) => service) ?? users.map(({ key }) => key));
    const heard = local.filter(({ key }) => served.has(key));
    const kept = this.#together(heard, mayHave);
    const isElsewhere = users.some(({ key, trafficPolicy }) => trafficPolicy !== 'Local' && served.has(key));
    return kept.length > 0 || isElsewhere ? kept : heard;
  }

  /** The first of them that has a node, and whoever can be served from one node with those before. */
  #together(local: readonly LocalService[], mayHave: (node: string) => boolean): readonly LocalService[] {
    const kept: LocalService[] = [];
    let common: ReadonlySet<string> | undefined;
    for (const one of local) {
      // What is not known yet may be any node.
      if (one.nodes === null) return local;
      const nodes = new Set(one.nodes.values().filter(mayHave));
      const both: ReadonlySet<string> = common?.intersection(nodes) ?? nodes;
      if (both.size === 0) continue;
      common = both;
      kept.push(one);
    }
    return kept;
  }

  readonly #barFromAll = (node: string): Bar | null => {
    const message = this.#whyBarred(node);
    return message === undefined ? null : { reason: 'NoEligibleNode', message: `${node}: ${message}` };
  };

  readonly #isOpen = (node: string): boolean => this.#whyBarred(node) === undefined;

  #whyBarred(node: string): string | undefined {
    return this.#barred.get(node) ?? this.#whyGone(node);
  }

  #whyGone(node: string): string | undefined {
    // Asked of many nodes for many VIPs: as a rule none is gone.
    if (!this.#gone.has(node)) return undefined;
    const isSilent = (this.#input.controller.nodes.get(node)?.hello ?? null) === null;
    return isSilent ? 'the cluster has no Node of that name' : undefined;
  }

  /** Looks at the VIPs of some nodes. */
  #reviewOf(nodes: { has(name: string): boolean }): void {
    const { owners } = this.#input.controller;
    this.review([...owners.all].filter(([, { node }]) => nodes.has(node)).map(([address]) => address));
  }

  /** VIPs that are without a Local Service whose nodes could have none, and that one of them can take now. */
  #comingBack(): Address[] {
    const { owners, allocator } = this.#input.controller;
    const isBack = (address: Address, node: string): boolean => {
      const users = allocator.usersOf(address);
      if (users.length < 2 || !users.some(({ trafficPolicy }) => trafficPolicy === 'Local')) return false;
      return this.bar(address)(node)?.reason === 'NoLocalEndpoints' && this.#ready(address, node) !== null;
    };
    return [...owners.all].filter(([address, { node }]) => isBack(address, node)).map(([address]) => address);
  }

  #isEarly(): boolean {
    const { isPublished, owners } = this.#input.controller;
    return !isPublished || !owners.isSettled;
  }

  readonly #again = (): void => {
    this.#timer = undefined;
    this.review([...this.#waiting]);
  };

  #look(address: Address): void {
    const { owners } = this.#input.controller;
    this.#waiting.delete(address);
    const owner = owners.ownerOf(address);
    const bar = owner === undefined ? null : this.bar(address)(owner.node);
    if (owner === undefined || bar === null || owners.moves.has(address)) return;
    // A list that was not read to its end takes nothing from anybody.
    if (bar.reason === 'NoLocalEndpoints' && this.#localOn(address).some(({ nodes }) => nodes === null))
      return;
    const to = this.#ready(address, owner.node);
    if (to !== null) void this.#move(address, to, bar.reason);
    else if (bar.reason === 'NoLocalEndpoints') owners.withdraw(address);
    else this.#waiting.add(address);
  }

  /** Where it may go from there: to nobody who leaves out a Local Service that is served where it is. */
  #ready(address: Address, from: string): string | null {
    const { owners, nodes } = this.#input.controller;
    // Nobody is known to be served by a node that is not connected.
    const isThere = nodes.get(from)?.isConnected === true;
    const local = isThere && !this.#isOpen(from) ? this.#localOn(address, () => true) : [];
    const served = local.filter((one) => one.nodes?.has(from) === true);
    const ready = owners.candidates.ready(address, from);
    const candidates = ready.filter(({ name }) => served.every((one) => one.nodes?.has(name) === true));
    return chooseNode(address, candidates, nodes.preferred(address));
  }

  async #move(address: Address, to: string, reason: Bar['reason']): Promise<void> {
    const { owners, nodes, nextTerm } = this.#input.controller;
    const order = { to: nodes.at(to), nextTerm, reason, deadlineMs: unaskedMoveDeadlineMs };
    const result = await owners.moves.begin(address, order);
    if ('failed' in result) this.#waiting.add(address);
  }
}
