// All that is written to a cluster beside the Lease, put together: status, records and Events, in one line.

import type { Log } from '../../../process/log.ts';
import type { Controller } from '../../controller.ts';
import type { ApiClient } from './client.ts';
import type { News } from './event-object.ts';
import { Events } from './events.ts';
import type { ObjectChanges } from './list-watch.ts';
import { Precedence } from './precedence.ts';
import { Preferences } from './preferences.ts';
import { Publisher } from './publisher.ts';
import { Recorder } from './recorder.ts';
import { ServiceNews } from './service-news.ts';
import type { KubernetesSource } from './source.ts';
import type { VirtualIpRecord } from './virtual-ip.ts';
import { Writes } from './writes.ts';

export interface ScribeInput {
  readonly controller: Controller;
  readonly source: KubernetesSource;
  readonly client: ApiClient;
  readonly identity: string;
  readonly mayWrite: () => boolean;
  readonly log: Log;
  readonly signal: AbortSignal;
}

export interface Scribe {
  readonly writes: Writes;
  readonly publisher: Publisher;
  readonly recorder: Recorder;
  /** The records are others now. */
  readonly recorded: (changes: ObjectChanges<VirtualIpRecord | null>) => void;
  readonly moved: Preferences['moved'];
  readonly say: (news: News) => void;
}

export function makeScribe({ controller, source, client, identity, ...more }: ScribeInput): Scribe {
  const { mayWrite, log, signal } = more;
  const { catalog } = source;
  const nowMs = () => performance.now();
  const precedence = new Precedence({ controller, signal, nowMs, onOver: () => writes.wake() });
  const writes: Writes = new Writes({
    ...{ signal, random: Math.random, mayWrite: () => mayWrite() && precedence.mayWrite },
    onRefused: (kind, key, { message: reason }) => log.warn({ kind, key, reason }, 'writeRefused'),
  });
  const events = new Events({ client, writes, identity, nowMs });
  const say = (news: News): void => events.say(news);
  const recorder = new Recorder({
    ...{ controller, client, writes, signal, say },
    pools: () => controller.pools,
    isListed: () => source.hasRecords,
    uidOf: (key) => catalog.uidOf(key),
  });
  const isRecorded: Recorder['has'] = (address, key) => recorder.has(address, key);
  const publisher = new Publisher({
    ...{ controller, catalog, client, writes, signal },
    hasIpMode: () => source.hasIpMode,
    news: new ServiceNews({ controller, catalog, say, isRecorded }),
    onStanding: (addresses) => recorder.touched(addresses),
  });
  const preferences = new Preferences({ controller, client, writes, say, mayMove: mayWrite });
  const recorded: Scribe['recorded'] = (changes) => {
    recorder.changed(changes);
    preferences.changed(changes);
  };
  const moved: Scribe['moved'] = (what) => preferences.moved(what);
  return { writes, publisher, recorder, recorded, moved, say };
}
