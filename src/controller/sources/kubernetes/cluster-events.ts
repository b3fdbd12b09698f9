// Events about the controller as a whole, regarding its Lease or the node that caused them. Pure.

import type { CoreEvent } from '../../core.ts';
import type { MassRemoval } from '../../readings/mass-removal.ts';
import { type EventDraft, nodeReference, type ObjectReference } from './event-object.ts';

export function clusterEvent(
  lease: ObjectReference,
  what: Exclude<CoreEvent, { kind: 'moved' }>,
): EventDraft {
  switch (what.kind) {
    case 'generationRaised': {
      const why = `${what.node} has obeyed one that this controller did not issue`;
      const note = `generation raised to ${what.generation}: ${why}; check whether etcd was restored`;
      return { regarding: lease, type: 'Warning', reason: 'GenerationRaised', action: 'Rule', note };
    }
    case 'impossibleTerm': {
      const note = `${what.node} claims ${what.address} by a term that no controller issued: it is refused`;
      const regarding = nodeReference(what.node);
      return { regarding, type: 'Warning', reason: 'ImpossibleTerm', action: 'Serve', note };
    }
    default:
      return what satisfies never;
  }
}

/** The Event for nodes that may have no VIP by what the cluster says of them. */
export function barredEvent(lease: ObjectReference, barred: ReadonlyMap<string, string>): EventDraft {
  const words = [...barred].map(([node, why]) => `${node}: ${why}`);
  const note = `${barred.size} nodes may have no VIP: ${words.join('; ')}`;
  return { regarding: lease, type: 'Normal', reason: 'NoEligibleNode', action: 'Serve', note };
}

export function massRemovalEvent(lease: ObjectReference, { vips, secondsLeft }: MassRemoval): EventDraft {
  const note = `${vips} VIPs would go at once: accepted if a second reading in ${secondsLeft} s agrees`;
  return { regarding: lease, type: 'Warning', reason: 'MassRemoval', action: 'Release', note };
}
