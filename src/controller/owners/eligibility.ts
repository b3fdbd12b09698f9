// Decides by the cluster's nodes and endpoints which nodes may have a VIP. When that changes, a VIP leaves a
// node that may not have it any more, or is withdrawn if no node may.

import { type Address, type Family, familyOf } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import type { Controller } from '../controller.ts';
import { chooseNode } from '../place.ts';
import { TurnQueue } from '../turns.ts';
import type { Bar } from './node.ts';

/** The nodes with an endpoint of a Service; null while they are not known. */
export type EndpointNodes = (key: ServiceKey, family: Family) => ReadonlySet<string> | null;

export interface EligibilityInput {
  readonly controller: Controller;
  readonly endpointNodes: EndpointNodes;
}

/** A Service with trafficPolicy Local and the nodes with its endpoints; null while they are not known. */
interface LocalService {
  readonly key: ServiceKey;
  readonly nodes: ReadonlySet<string> | null;
}

/** When a move is given up, and tried again, if its new owner does not answer for the VIP. */
const unaskedMoveDeadlineMs = 10_000;
/** Messages of nodes are gathered for this long, as each review looks at all waiting VIPs. */
export const gatherMs = 200;

export class Eligibility {
  readonly #input: EligibilityInput;
  /** Nodes that may have no VIP, and why. */
  #barred: ReadonlyMap<string, string> = new Map();
  /** The nodes barred at the last call: the map belongs to the caller, which changes it. */
  #told: ReadonlySet<string> = new Set();
  #gone: ReadonlySet<string> = new Set();
  /** VIPs to review again: they moved, no other node could take them, or the time for claims was not over. */
  readonly #waiting = new Set<Address>();
  readonly #reviews = new TurnQueue<Address>((address) => this.#look(address));
  #timer: NodeJS.Timeout | undefined;

  constructor(input: EligibilityInput) {
    this.#input = input;
    input.controller.nodes.bar = this.bar;
    input.controller.nodes.claimed = (addresses) => this.review(addresses);
  }

  /** Nodes that may have no VIP, and why. Nodes no longer named may have VIPs again. */
  set barred(barred: ReadonlyMap<string, string>) {
    const isAnyBack = this.#told.values().some((node) => !barred.has(node));
    this.#told = new Set(barred.keys());
    this.#barred = barred;
    this.#reviewOf(barred);
    if (isAnyBack) this.review(this.#comingBack());
    // A VIP may wait for one of the nodes that are no longer named.
    this.#input.controller.owners.retry();
  }

  /** Nodes deleted before this controller ruled: they may have no VIP until they say hello. */
  set gone(nodes: ReadonlySet<string>) {
    this.#gone = nodes;
    this.#reviewOf(nodes);
    this.#input.controller.owners.retry();
  }

  /** Why the cluster keeps the VIP off a node, or null. */
  readonly bar = (address: Address): ((node: string) => Bar | null) => {
    const local = this.#localOn(address);
    if (local.length === 0) return this.#barFromAll;
    return (node) => {
      const bar = this.#barFromAll(node);
      if (bar !== null) return bar;
      const missing = local.find(({ nodes }) => nodes?.has(node) !== true);
      if (missing === undefined) return null;
      const { key, nodes } = missing;
      const what = nodes === null ? 'its endpoints are not read yet' : 'it has no ready endpoint there';
      return { reason: 'NoLocalEndpoints', message: `${node}: ${key} is Local, and ${what}` };
    };
  };

  /** Reviews VIPs that may have to move, or may find a node now. */
  review(addresses: Iterable<Address>): void {
    if (this.#isEarly()) {
      for (const address of addresses) this.#waiting.add(address);
      return;
    }
    const reviewed = [...addresses];
    this.#reviews.add(reviewed);
    this.#input.controller.owners.retry(reviewed);
  }

  /** A node connected or committed, or a wait ended: waiting VIPs may find a node. */
  progressed(): void {
    if (this.#waiting.size === 0 || this.#isEarly()) return;
    this.#timer ??= setTimeout(this.#again, gatherMs).unref();
  }

  /**
   * The Local Services that decide where the VIP may be. A Service is left out if no node that may have VIPs
   * could serve it.
   */
  #localOn(address: Address, mayHave = this.#isOpen): readonly LocalService[] {
    const users = this.#input.controller.allocator.usersOf(address);
    const local = users
      .filter(({ trafficPolicy }) => trafficPolicy === 'Local')
      .map(({ key }) => ({ key, nodes: this.#input.endpointNodes(key, familyOf(address)) }));
    if (local.length === 0 || users.length === 1) return local;
    // A Service whose ports all belong to others cannot be reached on this VIP, so it has no say.
    const ports = this.#input.controller.rules.get(address)?.ports;
    const served = new Set(ports?.map(({ service }) => service) ?? users.map(({ key }) => key));
    const heard = local.filter(({ key }) => served.has(key));
    const kept = this.#together(heard, mayHave);
    const isElsewhere = users.some(({ key, trafficPolicy }) => trafficPolicy !== 'Local' && served.has(key));
    return kept.length > 0 || isElsewhere ? kept : heard;
  }

  /** Keeps each Service, in order, that shares a node with all Services kept before it. */
  #together(local: readonly LocalService[], mayHave: (node: string) => boolean): readonly LocalService[] {
    const kept: LocalService[] = [];
    let common: ReadonlySet<string> | undefined;
    for (const one of local) {
      // Unknown endpoints may be on any node.
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
    // This is asked for many nodes and VIPs, and most nodes are not gone.
    if (!this.#gone.has(node)) return undefined;
    const isSilent = (this.#input.controller.nodes.get(node)?.hello ?? null) === null;
    return isSilent ? 'the cluster has no Node of that name' : undefined;
  }

  /** Reviews the VIPs of some nodes. */
  #reviewOf(nodes: { has(name: string): boolean }): void {
    const { owners } = this.#input.controller;
    this.review([...owners.all].filter(([, { node }]) => nodes.has(node)).map(([address]) => address));
  }

  /** VIPs on a node without endpoints of a Local Service, if a node that may have VIPs again can serve it. */
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
    // The node that it ends up on is not known before the move is over.
    const moved = owners.moves.resultOf(address);
    if (moved !== undefined) {
      void moved.then(() => {
        this.#waiting.add(address);
        this.progressed();
      });
      return;
    }
    const owner = owners.ownerOf(address);
    const bar = owner === undefined ? null : this.bar(address)(owner.node);
    if (owner === undefined || bar === null) return;
    // Until its EndpointSlices are read to the end, a Service moves no VIP.
    if (bar.reason === 'NoLocalEndpoints' && this.#localOn(address).some(({ nodes }) => nodes === null))
      return;
    const to = this.#ready(address, owner.node);
    if (to !== null) void this.#move(address, to, bar.reason);
    else if (bar.reason === 'NoLocalEndpoints' || this.#isIdle(address, owner.node)) owners.withdraw(address);
    else this.#waiting.add(address);
  }

  /** True if no client of the VIP reaches anything on the node: all Services are Local, without endpoints. */
  #isIdle(address: Address, node: string): boolean {
    const users = this.#input.controller.allocator.usersOf(address);
    const lacks = ({ key }: { readonly key: ServiceKey }) =>
      this.#input.endpointNodes(key, familyOf(address))?.has(node) === false;
    return users.every((user) => user.trafficPolicy === 'Local' && lacks(user));
  }

  /** The node that a VIP can move to. It must serve each Local Service that the present node still serves. */
  #ready(address: Address, from: string): string | null {
    const { owners, nodes } = this.#input.controller;
    // A disconnected node is not known to serve any Service.
    const isThere = nodes.get(from)?.isConnected === true;
    const local = isThere && !this.#isOpen(from) ? this.#localOn(address, () => true) : [];
    const served = local.filter((one) => one.nodes?.has(from) === true);
    const ready = owners.candidates.ready(address, from);
    const candidates = ready.filter(({ name }) => served.every((one) => one.nodes?.has(name) === true));
    return chooseNode(address, candidates, nodes.preferred(address));
  }

  async #move(address: Address, to: string, reason: Bar['reason']): Promise<void> {
    const { owners, nodes } = this.#input.controller;
    const order = { to: nodes.at(to), reason, deadlineMs: unaskedMoveDeadlineMs };
    const result = await owners.moves.begin(address, order);
    if ('failed' in result) this.#waiting.add(address);
  }
}
