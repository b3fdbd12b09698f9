// Every node that has said hello or is named in the records.

import type { Address } from '../../state/address.ts';
import { type Bar, Node } from './node.ts';

const noBar = (): null => null;

export class Nodes {
  /** Why the source keeps a VIP off a node. Most VIPs get the same function. */
  bar: (address: Address) => (node: string) => Bar | null = () => noBar;
  /** Called when a node became the owner of VIPs by its claims: it may not be eligible for them. */
  claimed: (addresses: readonly Address[]) => void = () => undefined;
  /** The node that gets a VIP if it is eligible, or null. */
  preferred: (address: Address) => string | null = () => null;
  /** VIPs that some node holds or held. */
  readonly served: Set<Address> = new Set();
  readonly #nodes = new Map<string, Node>();

  /** The node of that name, made if it is new. */
  at(name: string): Node {
    const known = this.#nodes.get(name);
    if (known !== undefined) return known;
    const node = new Node(name, (address) => this.bar(address)(name), this.served);
    this.#nodes.set(name, node);
    return node;
  }

  get(name: string): Node | undefined {
    return this.#nodes.get(name);
  }

  all(): MapIterator<Node> {
    return this.#nodes.values();
  }

  *connected(): Generator<Node, void> {
    for (const node of this.#nodes.values()) if (node.isConnected) yield node;
  }

  /** Sends each connected node the placements that it lacks, one node a step. */
  *startPlacements(): Generator<void, void> {
    for (const node of this.connected()) {
      node.startPlacements();
      yield;
    }
  }

  /** The node whose last hello names the MAC. */
  nodeOfMac(mac: string): Node | undefined {
    return this.#nodes.values().find(({ hello }) => hello?.macs?.includes(mac));
  }

  /** A node that objects to the VIP: no node may have it then. */
  objectorTo(address: Address): Node | undefined {
    return this.#nodes.values().find((node) => node.objectsTo(address));
  }

  /** Whether an owner loses its VIP: it does not hold it, and another node has the address for itself. */
  losses(): (address: Address, owner: Node | undefined) => boolean {
    const objecting = [...this.#nodes.values().filter(({ hasObjections }) => hasObjections)];
    return (address, owner) =>
      !owner?.held.has(address) && objecting.some((node) => node !== owner && node.hasItself(address));
  }

  /** True if a node that was to let go of a VIP may have it again. */
  mayReturn(former: Node | undefined, address: Address): former is Node {
    return former?.isConnected === true && former.mayTake(address) && !this.losses()(address, former);
  }

  /** A node that holds the VIP, or held it when it was last heard of. */
  holderOf(address: Address): Node | undefined {
    return this.#nodes.values().find(({ held }) => held.has(address));
  }

  /** True if a disconnected node held the VIP when it was last heard of. */
  isHeldByAbsent(address: Address): boolean {
    return this.#nodes.values().some((node) => !node.isConnected && node.held.has(address));
  }

  /** Forgets a node that will not come back. False if it is connected: then its disconnect does it. */
  forget(name: string): boolean {
    const node = this.#nodes.get(name);
    if (node?.isConnected === true) {
      node.isDeleted = true;
      return false;
    }
    this.#nodes.delete(name);
    return true;
  }

  /** The cluster has a Node of that name again: it is not to be forgotten. */
  returned(name: string): void {
    const node = this.#nodes.get(name);
    if (node !== undefined) node.isDeleted = false;
  }
}
