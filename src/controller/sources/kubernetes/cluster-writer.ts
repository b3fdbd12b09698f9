// Assembles the writers of Service status, VirtualIP objects and Events, which share one queue. The Lease has
// its own.

import type { Log } from '../../../process/log.ts';
import type { Controller } from '../../controller.ts';
import type { Problem } from '../../service.ts';
import type { ApiClient } from './client.ts';
import type { EventDraft } from './event-object.ts';
import { Events } from './events.ts';
import type { ObjectChanges } from './list-watch.ts';
import { Precedence } from './precedence.ts';
import { Preferences } from './preferences.ts';
import { ServiceEvents } from './service-events.ts';
import { ServiceStatusWriter } from './service-status-writer.ts';
import type { KubernetesSource } from './source.ts';
import { StrangeRecords } from './strange-records.ts';
import type { VirtualIpRecord } from './virtual-ip.ts';
import { VirtualIpWriter } from './virtual-ip-writer.ts';
import { Writes } from './writes.ts';

export interface ClusterWriterInput {
  readonly controller: Controller;
  readonly source: KubernetesSource;
  readonly client: ApiClient;
  readonly identity: string;
  readonly mayWrite: () => boolean;
  readonly log: Log;
  readonly signal: AbortSignal;
}

export interface ClusterWriter {
  readonly writes: Writes;
  readonly statusWriter: ServiceStatusWriter;
  readonly vipWriter: VirtualIpWriter;
  /** Takes changes of the records. */
  readonly recorded: (changes: ObjectChanges<VirtualIpRecord | null>) => void;
  readonly moved: Preferences['moved'];
  readonly say: (draft: EventDraft) => void;
  /** Statuses owned by another field manager, and VirtualIPs that record no address. */
  readonly problems: () => readonly Problem[];
}

export function makeClusterWriter({
  controller,
  source,
  client,
  identity,
  ...more
}: ClusterWriterInput): ClusterWriter {
  const { mayWrite, log, signal } = more;
  const { catalog } = source;
  const nowMs = () => performance.now();
  const precedence = new Precedence({ controller, signal, nowMs, onOver: () => writes.wake() });
  const writes: Writes = new Writes({
    signal,
    random: Math.random,
    mayWrite: () => mayWrite() && precedence.mayWrite,
    onRefused: (kind, key, { message: reason }) => log.warn({ kind, key, reason }, 'writeRefused'),
  });
  const events = new Events({ client, writes, identity, nowMs });
  const say = (draft: EventDraft): void => events.say(draft);
  const vipWriter = new VirtualIpWriter({
    controller,
    client,
    writes,
    signal,
    say,
    isListed: () => source.hasRecords,
    uidOf: (key) => catalog.uidOf(key),
  });
  const wasRecorded: VirtualIpWriter['had'] = (address, key) => vipWriter.had(address, key);
  const statusWriter = new ServiceStatusWriter({
    controller,
    catalog,
    client,
    writes,
    signal,
    hasIpMode: () => source.hasIpMode,
    serviceEvents: new ServiceEvents({ controller, catalog, say, wasRecorded }),
    onVipsTouched: (addresses) => vipWriter.touched(addresses),
  });
  const preferences = new Preferences({ controller, client, writes, say, mayMove: mayWrite });
  const strange = new StrangeRecords();
  const problems = () => [...statusWriter.problems(), ...strange.problems()];
  const recorded: ClusterWriter['recorded'] = (changes) => {
    const isNews = strange.changed(changes);
    if (isNews) log.warn({ problems: strange.problems().map(({ message }) => message) }, 'sourceState');
    vipWriter.changed(changes);
    preferences.changed(changes);
  };
  const moved: ClusterWriter['moved'] = (what) => preferences.moved(what);
  return { writes, statusWriter, vipWriter, recorded, moved, say, problems };
}
