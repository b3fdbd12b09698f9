// An Event of events.k8s.io/v1: the object for the first occurrence, and the patch that counts further ones.
// Pure.

import type { Address } from '../../../state/address.ts';
import { namesOf, type ServiceKey } from '../../../state/service.ts';
import { microTime } from './lease-record.ts';
import { virtualIpName } from './virtual-ip.ts';

/** The object that an Event is about. */
export interface ObjectReference {
  readonly apiVersion: string;
  readonly kind: string;
  /** Absent for an object without a namespace; its Events are in `default`. */
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
}

export interface EventDraft {
  readonly regarding: ObjectReference;
  readonly related?: ObjectReference;
  readonly type: 'Normal' | 'Warning';
  /** One of the reasons of `status`. */
  readonly reason: string;
  /** What was done, or tried. */
  readonly action: 'Allocate' | 'Announce' | 'Move' | 'Release' | 'Rule' | 'Serve' | 'WriteStatus';
  readonly note: string;
}

export const reportingController = 'vipward.io/controller';
const noteLimitBytes = 1024;
const instanceLimitBytes = 128;

const eventsGroup = '/apis/events.k8s.io/v1';

/** The path of the Events about an object. */
export function eventsPath({ namespace = 'default' }: ObjectReference): string {
  return `${eventsGroup}/namespaces/${namespace}/events`;
}

/** Two drafts with the same key belong to one Event. */
export function eventKey({ regarding, reason }: EventDraft): string {
  const { kind, namespace = '', name, uid = '' } = regarding;
  return [kind, namespace, name, uid, reason].join(' ');
}

export interface EventText {
  readonly draft: EventDraft;
  readonly name: string;
  readonly identity: string;
  readonly wallMs: number;
}

export function eventObject({ draft, name, identity, wallMs }: EventText): object {
  const { regarding, related, type, reason, action, note } = draft;
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name, namespace: regarding.namespace ?? 'default' },
    eventTime: microTime(wallMs),
    reportingController,
    reportingInstance: shortened(identity, instanceLimitBytes),
    type,
    reason,
    action,
    note: shortened(note, noteLimitBytes),
    regarding,
    ...(related === undefined ? {} : { related }),
  };
}

/** A merge patch with the number of occurrences and the time of the last one. */
export function seriesPatch(count: number, wallMs: number): object {
  return { series: { count, lastObservedTime: microTime(wallMs) } };
}

export function serviceReference(key: ServiceKey, uid: string): ObjectReference {
  return { apiVersion: 'v1', kind: 'Service', ...namesOf(key), ...(uid === '' ? {} : { uid }) };
}

export function virtualIpReference(address: Address, uid: string): ObjectReference {
  const name = virtualIpName(address);
  return { apiVersion: 'vipward.io/v1alpha1', kind: 'VirtualIP', name, ...(uid === '' ? {} : { uid }) };
}

export function nodeReference(name: string): ObjectReference {
  return { apiVersion: 'v1', kind: 'Node', name };
}

export function leaseReference(namespace: string, name: string): ObjectReference {
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace, name };
}

/** Cuts text to a number of bytes, beyond which the API server refuses it, without splitting a character. */
function shortened(text: string, limitBytes: number): string {
  if (Buffer.byteLength(text) <= limitBytes) return text;
  const end = '…';
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(limitBytes - Buffer.byteLength(end)));
  return text.slice(0, read) + end;
}
