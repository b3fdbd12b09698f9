// Where users want VIPs: `spec.node` of their records. It is followed when it is set, and when a VIP needs a
// node; what has moved a VIP away since then stands, as with every move.

import type { Address } from '../../../state/address.ts';
import type { Controller } from '../../controller.ts';
import { MoveReason, moveDeadlineMs } from '../../owners/moves.ts';
import { whyNotOn } from '../../status/vip-state.ts';
import { isMapping } from '../fields.ts';
import type { ApiClient } from './client.ts';
import { type EventDraft, virtualIpReference } from './event-object.ts';
import type { ObjectChanges } from './list-watch.ts';
import { virtualIpName } from './service-status.ts';
import { cutVirtualIp, type VirtualIpRecord, virtualIpsPath } from './virtual-ip.ts';
import type { Writes } from './writes.ts';

export interface PreferencesInput {
  readonly controller: Controller;
  readonly client: ApiClient;
  readonly writes: Writes;
  /** False while this process does not rule: what is set then counts when a VIP needs a node. */
  readonly mayMove: () => boolean;
  readonly say: (draft: EventDraft) => void;
}

/** A node that we write into a record. */
interface Written {
  readonly node: string;
  /** The record as it was right after that; null until the API server has answered. */
  made: VirtualIpRecord | null;
  /** The last that was read meanwhile and says another node. */
  passed: VirtualIpRecord | null;
}

export class Preferences {
  readonly #input: PreferencesInput;
  /** By the names of the records that name a node. */
  readonly #nodes = new Map<string, string>();
  /** What we write there, until it is seen there: events that are older say what was there before. */
  readonly #written = new Map<string, Written>();

  constructor(input: PreferencesInput) {
    this.#input = input;
    input.controller.nodes.preferred = (address) => this.#nodes.get(virtualIpName(address)) ?? null;
  }

  /** Records came, changed or went. */
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

  /** Somebody has moved the VIP: that is where it is wanted. */
  moved({ address, node }: { readonly address: Address; readonly node: string }): void {
    const { client, writes } = this.#input;
    const name = virtualIpName(address);
    if (this.#nodes.get(name) === node) return;
    this.#nodes.set(name, node);
    const [path, body] = [`${virtualIpsPath}/${name}`, { spec: { node } }];
    const contentType = 'application/merge-patch+json';
    const written: Written = { node, made: null, passed: null };
    this.#written.set(name, written);
    writes.put('preference', address, async (signal) => {
      try {
        const answer = await client.json({ method: 'PATCH', path, body, contentType, signal });
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

  /** True if a record is from before our own write. A list may have only what was written after that. */
  #isOlder(name: string, record: VirtualIpRecord | null): boolean {
    const written = this.#written.get(name);
    if (written === undefined || record === null || record.node === written.node) return false;
    written.passed = record;
    const { made } = written;
    return made === null || (record.uid === made.uid && record.generation < made.generation);
  }

  async #follow({ address, uid }: VirtualIpRecord, name: string): Promise<void> {
    const { controller, mayMove, say } = this.#input;
    const { owners, nodes, nextTerm } = controller;
    const owner = owners.ownerOf(address)?.node;
    // What comes before the first publication was set before this process ruled.
    if (!controller.isPublished || !mayMove() || owner === undefined || owner === name) return;
    const to = nodes.get(name);
    const why = whyNotOn(controller, address, { name, node: to });
    const result =
      to === undefined || why !== null
        ? { failed: why ?? 'not connected' }
        : await owners.moves.begin(address, {
            ...{ to, nextTerm, reason: MoveReason.Asked, deadlineMs: moveDeadlineMs },
          });
    if (!('failed' in result)) return;
    const note = `spec.node ${name}: ${result.failed}; it stays on ${owner}`;
    const regarding = virtualIpReference(address, uid);
    say({ regarding, type: 'Warning', reason: 'NoEligibleNode', action: 'Move', note });
  }
}
