// Events: one per object and reason, counted when it repeats, and within the limits of the API server.
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import {
  type ApiClient,
  ApiError,
  type ApiRequest,
} from '../../../../src/controller/sources/kubernetes/client.ts';
import {
  type EventDraft,
  serviceReference,
} from '../../../../src/controller/sources/kubernetes/event-object.ts';
import {
  Events,
  lookMs,
  mostSeries,
  seriesMs,
} from '../../../../src/controller/sources/kubernetes/events.ts';
import { Writes } from '../../../../src/controller/sources/kubernetes/writes.ts';
import { parseServiceKey } from '../../../../src/state/service.ts';

const draft = (name: string, note = 'why'): EventDraft => ({
  regarding: serviceReference(parseServiceKey(`demo/${name}`), 'u1'),
  type: 'Warning',
  reason: 'OutsidePool',
  action: 'Allocate',
  note,
});

interface Rig {
  readonly events: Events;
  readonly asked: ApiRequest[];
  nowMs: number;
  /** The status with which the API server refuses a PATCH, or null. */
  fails: number | null;
  mayWrite: boolean;
}

function rig(): Rig {
  const asked: ApiRequest[] = [];
  const made = { asked, nowMs: 0, fails: null as number | null, mayWrite: true };
  const json = async (request: ApiRequest): Promise<unknown> => {
    asked.push(request);
    if (made.fails !== null && request.method === 'PATCH') throw new ApiError(made.fails, 'gone', null);
    return {};
  };
  const signal = new AbortController().signal;
  const mayWrite = () => made.mayWrite;
  const writes = new Writes({ signal, random: () => 0, mayWrite, onRefused: () => undefined });
  const client = { json } as unknown as ApiClient;
  const events = new Events({ client, writes, identity: 'c1', nowMs: () => made.nowMs });
  return Object.assign(made, { events });
}

const methods = ({ asked }: Rig): string => asked.map(({ method }) => method).join(' ');

test('a reason that repeats within five minutes is one Event, which counts the repetitions', async () => {
  equal(seriesMs, 300_000);
  const all = rig();
  for (let times = 0; times < 7; times++) all.events.say(draft('web'));
  all.events.say(draft('other'));
  await sleep(5);
  equal(methods(all), 'POST POST');
  all.nowMs += seriesMs;
  all.events.say(draft('web'));
  all.events.say(draft('web'));
  await sleep(5);
  equal(methods(all), 'POST POST PATCH');
  const { series } = (all.asked[2]?.body ?? {}) as { series: { count: number; lastObservedTime: string } };
  equal(series.count, 8);
  match(series.lastObservedTime, /\.\d{6}Z$/);
});

test('an Event that has expired is created again', async () => {
  const all = rig();
  all.events.say(draft('web'));
  await sleep(5);
  all.nowMs += seriesMs;
  all.fails = 404;
  all.events.say(draft('web'));
  await sleep(5);
  equal(methods(all), 'POST PATCH POST');
});

interface Written {
  readonly note?: string;
  readonly series?: { readonly count: number };
}

/** The requests, as METHOD note or METHOD count. */
const written = ({ asked }: Rig): string[] =>
  asked.map(({ method, body }) => {
    const { note, series } = body as Written;
    return `${method} ${note ?? series?.count}`;
  });

/** Lets the five minutes of all Events pass, and the waiting ones be written. */
async function pass(t: TestContext, all: Rig): Promise<void> {
  all.nowMs += seriesMs;
  t.mock.timers.tick(lookMs);
  await turn();
}

test('repetitions within five minutes of an Event are written after that time', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const all = rig();
  for (let times = 0; times < 3; times++) all.events.say(draft('web', 'n1 to n2'));
  await turn();
  t.mock.timers.tick(lookMs);
  await turn();
  deepEqual(written(all), ['POST n1 to n2']);
  await pass(t, all);
  deepEqual(written(all), ['POST n1 to n2', 'PATCH 3']);
  await pass(t, all);
  equal(all.asked.length, 2, 'nothing happened since');
});

test('of other notes within five minutes the latest one becomes an Event of its own', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const all = rig();
  for (const note of ['n1 to n2', 'n2 to n3', 'n3 to n4', 'n3 to n4']) all.events.say(draft('web', note));
  await turn();
  deepEqual(written(all), ['POST n1 to n2']);
  await pass(t, all);
  deepEqual(written(all), ['POST n1 to n2', 'POST n3 to n4']);
  all.events.say(draft('web', 'n3 to n4'));
  await pass(t, all);
  deepEqual(written(all).at(-1), 'PATCH 3');
});

test('an Event that could not be written yet is written with its latest note', async () => {
  const all = rig();
  all.mayWrite = false;
  for (const note of ['n1 to n2', 'n2 to n3']) all.events.say(draft('web', note));
  all.mayWrite = true;
  all.events.say(draft('other'));
  await sleep(5);
  deepEqual(written(all), ['POST n2 to n3', 'POST why']);
});

test('of more objects than are remembered, the first is told of as if new', async () => {
  const all = rig();
  for (let index = 0; index <= mostSeries; index++) all.events.say(draft(`web-${index}`));
  await sleep(5);
  all.nowMs += seriesMs;
  const before = all.asked.length;
  for (const index of [mostSeries, 0]) all.events.say(draft(`web-${index}`));
  await sleep(5);
  deepEqual([before, methods(all).slice(-'PATCH POST'.length)], [mostSeries + 1, 'PATCH POST']);
});

test('a note is cut to 1024 bytes, between two characters', async () => {
  const all = rig();
  const notes = ['x'.repeat(5000), 'é'.repeat(600), `x${'😀'.repeat(300)}`, 'é'.repeat(512)];
  for (const [index, note] of notes.entries()) all.events.say(draft(`web${index}`, note));
  await sleep(5);
  const cut = all.asked.map(({ body }) => (body as { note: string }).note);
  deepEqual(cut, [`${'x'.repeat(1021)}…`, `${'é'.repeat(510)}…`, `x${'😀'.repeat(255)}…`, notes[3]]);
  ok(cut.every((note) => Buffer.byteLength(note) <= 1024));
});

test('the name of an Event is cut to a valid length, and stays unique', async () => {
  const all = rig();
  const [cut, rest] = ['x'.repeat(199), 'x'.repeat(53)];
  for (const name of ['x'.repeat(253), `${cut}-${rest}`, `${cut}.${rest}`]) all.events.say(draft(name));
  await sleep(5);
  const names = all.asked.map(({ body }) => (body as { metadata: { name: string } }).metadata.name);
  equal(names.length, 3);
  for (const name of names) match(name, /^x{199,200}\.[0-9a-f]{16}$/);
});
