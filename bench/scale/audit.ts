// The audit log of the API server shows the writes of the controller, how many at once, and its Lease.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { AuditEvent } from '../../test/kubernetes/audit.ts';
import type { Cluster } from '../../test/kubernetes/cluster.ts';
import { controllerUser } from '../../test/kubernetes/node-in-cluster.ts';

export interface WritesResult {
  readonly count: number;
  readonly mostInFlight: number;
  /** Writes per second, from the first to the last of them. */
  readonly rate: number;
  /** By resource. */
  readonly kinds: Readonly<Record<string, number>>;
  /** Answers other than success, by code. */
  readonly failed: Readonly<Record<string, number>>;
}

export interface LeaseResult {
  readonly renewals: number;
  readonly longestGapMs: number;
  readonly holder: string;
  /** How often it changed its holder after it was first taken. */
  readonly losses: number;
}

/** How much of the end of the log is searched for the last write. */
const tailBytes = 256 * 1024;
/** leaseTransitions counts the first holder of a Lease too. */
const firstTransition = 1;
const writing = new Set(['create', 'update', 'patch', 'delete']);

/** When the controller first asked for a list. */
export function firstListMs(cluster: Cluster): number {
  const lists = cluster.audit(controllerUser).filter(({ verb }) => verb === 'list');
  return Math.min(...lists.map(({ requestReceivedTimestamp }) => Date.parse(requestReceivedTimestamp)));
}

export function writesIn(cluster: Cluster): WritesResult {
  const events = eventsOf(cluster).filter(isWrite);
  const [kinds, failed]: [Record<string, number>, Record<string, number>] = [{}, {}];
  for (const { verb, requestURI, responseStatus } of events) {
    const kind = `${verb} ${kindOf(requestURI)}`;
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    const { code = 0 } = responseStatus ?? {};
    if (code >= 300) failed[code] = (failed[code] ?? 0) + 1;
  }
  const begins = events.map(({ requestReceivedTimestamp }) => requestReceivedTimestamp).sort();
  const ends = events.map(({ stageTimestamp }) => stageTimestamp).sort();
  const seconds = (Date.parse(ends.at(-1) ?? '') - Date.parse(begins[0] ?? '')) / 1000;
  return {
    count: events.length,
    mostInFlight: mostAtOnce(begins, ends),
    kinds,
    failed,
    rate: events.length === 0 ? 0 : Math.round(events.length / seconds),
  };
}

export async function leaseIn(cluster: Cluster): Promise<LeaseResult> {
  const renewed = eventsOf(cluster)
    .filter((event) => isOfLease(event) && (event.responseStatus?.code ?? 0) < 300)
    .map(({ requestReceivedTimestamp }) => Date.parse(requestReceivedTimestamp));
  const gaps = renewed.slice(1).map((atMs, index) => atMs - (renewed[index] ?? atMs));
  const path = '/apis/coordination.k8s.io/v1/namespaces/vipward-system/leases/vipward-controller';
  const { spec } = await cluster.do('GET', path);
  return {
    renewals: renewed.length,
    longestGapMs: Math.max(0, ...gaps),
    holder: spec.holderIdentity,
    losses: spec.leaseTransitions - firstTransition,
  };
}

/**
 * How long ago the controller last wrote something other than the Lease; null if that is not in the log's
 * end.
 */
export function sinceLastWriteMs({ folder }: Cluster): number | null {
  const log = openSync(join(folder, 'audit.log'), 'r');
  const { size } = fstatSync(log);
  const tail = Buffer.alloc(Math.min(size, tailBytes));
  readSync(log, tail, 0, tail.length, size - tail.length);
  closeSync(log);
  const lines = tail.toString().split('\n').slice(1, -1);
  const last = lines.findLast((line) => isWrite(JSON.parse(line) as AuditEvent));
  return last === undefined ? null : Date.now() - Date.parse((JSON.parse(last) as AuditEvent).stageTimestamp);
}

function isWrite(event: AuditEvent): boolean {
  return event.user.username === controllerUser && writing.has(event.verb) && !isOfLease(event);
}

function eventsOf(cluster: Cluster): AuditEvent[] {
  return cluster.audit(controllerUser).filter(({ verb }) => writing.has(verb));
}

function isOfLease({ requestURI }: AuditEvent): boolean {
  return requestURI.includes('/leases');
}

/** The resource without name and namespace, such as `services/status`. */
function kindOf(uri: string): string {
  const words = (uri.split('?')[0] ?? '').split('/').slice(uri.startsWith('/api/') ? 3 : 4);
  const [resource = '', , ...rest] = words[0] === 'namespaces' ? words.slice(2) : words;
  return [resource, ...rest].join('/');
}

/** Both lists are in order; the times are texts of one form, to the microsecond. */
function mostAtOnce(begins: readonly string[], ends: readonly string[]): number {
  let [most, ended] = [0, 0];
  for (const [index, at] of begins.entries()) {
    while ((ends[ended] ?? at) <= at && ended < index) ended++;
    most = Math.max(most, index + 1 - ended);
  }
  return most;
}
