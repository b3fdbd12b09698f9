// Follows the node that users want for a VIP: `spec.node` of its record. It counts when it is set and when a
// VIP needs a node; a later move away from that node stands, as after every move.

import type { Address } from '../../../state/address.ts';
import type { Controller } from '../../controller.ts';
import { MoveReason, moveDeadlineMs } from '../../owners/moves.ts';
import { whyNotOn } from '../../status/vip-state.ts';
import { isMapping } from '../fields.ts';
import type { ApiClient } from './client.ts';
import { type EventDraft, virtualIpReference } from './event-object.ts';
import type { ObjectChanges } from './list-watch.ts';
import { cutVirtualIp, type VirtualIpRecord, virtualIpName, virtualIpPath } from './virtual-ip.ts';
import type { Writes } from './writes.ts';

export interface PreferencesInput {
  readonly controller: Controller;
  readonly client: ApiClient;
  readonly writes: Writes;
  /** False while this process does not rule: a node set then counts when the VIP needs a node. */
  readonly mayMove: () => boolean;
  readonly say: (draft: EventDraft) => void;
}

/** A node that the controller writes into a record. */
interface Written {
  readonly node: string;
  /** The record right after the write; null until the API server has answered. */
  made: VirtualIpRecord | null;
  /** The last record that was read meanwhile and names another node. */
  passed: VirtualIpRecord | null;
}

export class Preferences {
  readonly #input: PreferencesInput;
  /** The preferred nodes, by name of the record. */
  readonly #nodes = new Map<string, string>();
  /** Our writes, until the watch shows them: older events have the node from before. */
  readonly #written = new Map<string, Written>();

  constructor(input: PreferencesInput) {
    this.#input = input;
    input.controller.nodes.preferred = (address) => this.#nodes.get(virtualIpName(address)) ?? null;
  }

  /** Takes changes of the records. */
  changed({ set, remove }: ObjectChanges<VirtualIpRecord | null>): void {
    for (const name of remove) {
      this.#nodes.delete(name);
      this.#written.delete(name);
    }
    for (const [name, record] of set) {
      if (this.#isOlder(name, record)) continue;
      this.#written.delete(name);
      const before = this.#nodes.get(name);
      if (record === null || record.node === null) this.#nodes.delete(name);
      else this.#nodes.set(name, record.node);
      const isAsked = record !== null && record.node !== null && record.node !== before;
      if (isAsked && virtualIpName(record.address) === name) void this.#follow(record, record.node);
    }
  }

  /** The operator has moved the VIP: its record is made to name the new node. */
  moved({ address, node }: { readonly address: Address; readonly node: string }): void {
    const { client, writes } = this.#input;
    const name = virtualIpName(address);
    if (this.#nodes.get(name) === node) return;
    this.#nodes.set(name, node);
    const [path, body] = [virtualIpPath(address), { spec: { node } }];
    const written: Written = { node, made: null, passed: null };
    this.#written.set(name, written);
    writes.put('preference', address, async (signal) => {
      try {
        const answer = await client.json({ method: 'PATCH', path, body, signal });
        written.made = isMapping(answer) ? cutVirtualIp(answer) : null;
      } catch (error) {
        if (this.#written.get(name) === written) this.#written.delete(name);
        throw error;
      }
      const { passed } = written;
      if (passed !== null && this.#written.get(name) === written)
        this.changed({ set: new Map([[name, passed]]), remove: [] });
    });
  }

  /** True if a record is older than our write. A list may have only newer ones. */
  #isOlder(name: string, record: VirtualIpRecord | null): boolean {
    const written = this.#written.get(name);
    if (written === undefined || record === null || record.node === written.node) return false;
    written.passed = record;
    const { made } = written;
    return made === null || (record.uid === made.uid && record.generation < made.generation);
  }

  async #follow({ address, uid }: VirtualIpRecord, name: string): Promise<void> {
    const { controller, mayMove, say } = this.#input;
    const { owners, nodes } = controller;
    const owner = owners.ownerOf(address)?.node;
    // A node that is read before the first publication was set before this process ruled.
    if (!controller.isPublished || !mayMove() || owner === undefined || owner === name) return;
    const to = nodes.get(name);
    const why = whyNotOn(controller, address, { name, node: to });
    const result =
      to === undefined || why !== null
        ? { failed: why ?? 'not connected' }
        : await owners.moves.begin(address, { to, reason: MoveReason.Asked, deadlineMs: moveDeadlineMs });
    if (!('failed' in result)) return;
    const note = `spec.node ${name}: ${result.failed}; it stays on ${owner}`;
    const regarding = virtualIpReference(address, uid);
    say({ regarding, type: 'Warning', reason: 'NoEligibleNode', action: 'Move', note });
  }
}
