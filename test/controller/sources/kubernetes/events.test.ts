// Events: one for each object and reason, counted when it is said again, and such as the API server takes.
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ApiClient,
  ApiError,
  type ApiRequest,
} from '../../../../src/controller/sources/kubernetes/client.ts';
import { type News, serviceReference } from '../../../../src/controller/sources/kubernetes/event-object.ts';
import { Events, seriesMs } from '../../../../src/controller/sources/kubernetes/events.ts';
import { Writes } from '../../../../src/controller/sources/kubernetes/writes.ts';
import { parseServiceKey } from '../../../../src/state/service.ts';

const news = (name: string, note = 'why'): News => ({
  regarding: serviceReference(parseServiceKey(`demo/${name}`), 'u1'),
  ...{ type: 'Warning', reason: 'OutsidePool', action: 'Allocate', note },
});

interface Rig {
  readonly events: Events;
  readonly asked: ApiRequest[];
  nowMs: number;
  /** What the API server answers instead of taking it. */
  fails: number | null;
}

function rig(): Rig {
  const asked: ApiRequest[] = [];
  const made = { asked, nowMs: 0, fails: null as number | null };
  const json = async (request: ApiRequest): Promise<unknown> => {
    asked.push(request);
    if (made.fails !== null && request.method === 'PATCH') throw new ApiError(made.fails, 'gone', null);
    return {};
  };
  const signal = new AbortController().signal;
  const writes = new Writes({ signal, random: () => 0, mayWrite: () => true, onRefused: () => undefined });
  const client = { json } as unknown as ApiClient;
  const events = new Events({ client, writes, identity: 'c1', nowMs: () => made.nowMs });
  return Object.assign(made, { events });
}

const methods = ({ asked }: Rig): string => asked.map(({ method }) => method).join(' ');

test('what is said again within five minutes is one Event, and then it is counted', async () => {
  const all = rig();
  for (let times = 0; times < 7; times++) all.events.say(news('web'));
  all.events.say(news('other'));
  await sleep(5);
  equal(methods(all), 'POST POST');
  all.nowMs += seriesMs;
  all.events.say(news('web'));
  all.events.say(news('web'));
  await sleep(5);
  equal(methods(all), 'POST POST PATCH');
  const { series } = (all.asked[2]?.body ?? {}) as { series: { count: number; lastObservedTime: string } };
  equal(series.count, 8);
  match(series.lastObservedTime, /\.\d{6}Z$/);
});

test('an Event that has expired is made anew', async () => {
  const all = rig();
  all.events.say(news('web'));
  await sleep(5);
  all.nowMs += seriesMs;
  all.fails = 404;
  all.events.say(news('web'));
  await sleep(5);
  equal(methods(all), 'POST PATCH POST');
});

test('a note is cut to what the API server takes', async () => {
  const all = rig();
  all.events.say(news('web', 'x'.repeat(5000)));
  await sleep(5);
  const { note, metadata } = (all.asked[0]?.body ?? {}) as { note: string; metadata: { name: string } };
  deepEqual([note.length, note.at(-1)], [1024, '…']);
  ok(metadata.name.length <= 253);
});
