// Events about a VIP, regarding the Services on it, when its VirtualIP object is written. Pure.

import type { Address } from '../../../state/address.ts';
import type { ServiceKey } from '../../../state/service.ts';
import { type EventDraft, serviceReference, virtualIpReference } from './event-object.ts';
import type { Condition, VirtualIpRecord, VirtualIpStatus } from './virtual-ip.ts';

/** Reasons that are reported elsewhere, or are no trouble. */
const quiet: ReadonlySet<string> = new Set(['Allocated', 'Announced', 'Moved', 'Released']);

export interface VipChange {
  readonly before: VirtualIpRecord;
  readonly status: VirtualIpStatus;
  readonly services: readonly ServiceKey[];
  readonly uidOf: (key: ServiceKey) => string;
}

/** The Events for a status that replaces that of a record. */
export function eventsOf({ before, status, services, uidOf }: VipChange): EventDraft[] {
  const found = [moved(before, status), trouble(before, status)].filter((draft) => draft !== null);
  const related = virtualIpReference(before.address, before.uid);
  return found.flatMap((draft) => {
    return services.map((key) => ({ regarding: serviceReference(key, uidOf(key)), related, ...draft }));
  });
}

/** The Event for a VIP that no node has any more, whose record is gone. */
export function releasedEvent(address: Address, uid: string): EventDraft {
  const note = 'no Service uses it, and every node has released it';
  const regarding = virtualIpReference(address, uid);
  return { regarding, type: 'Normal', reason: 'Released', action: 'Release', note };
}

type DraftEvent = Omit<EventDraft, 'regarding' | 'related'>;

function moved(
  { address, status: before }: VirtualIpRecord,
  { node, state }: VirtualIpStatus,
): DraftEvent | null {
  const former = before['node'];
  const isThere = state === 'serving' && typeof former === 'string' && former !== '';
  if (!isThere || (former === node && before['state'] !== 'moving')) return null;
  const from = former === node ? '' : ` from ${former}`;
  const note = `${address} moved${from} to ${node}`;
  return { type: 'Normal', reason: 'Moved', action: 'Move', note };
}

function trouble(before: VirtualIpRecord, { conditions }: VirtualIpStatus): DraftEvent | null {
  const [ready] = conditions;
  if (ready === undefined || quiet.has(ready.reason)) return null;
  const [former] = (before.status['conditions'] ?? []) as readonly Partial<Condition>[];
  if (former?.reason === ready.reason) return null;
  const note = `${before.address}: ${ready.message}`;
  return { type: 'Warning', reason: ready.reason, action: 'Serve', note };
}
