// Whoever holds the Lease and comes too late with it goes on where it was, of an API server that takes its
// time. Real ones are in test/kubernetes.
import { deepEqual, equal } from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ApiClient,
  ApiError,
  type ApiRequest,
} from '../../../../src/controller/sources/kubernetes/client.ts';
import { Elector } from '../../../../src/controller/sources/kubernetes/elector.ts';
import { untilTrue } from '../../../patience.ts';

const limit = { timeout: 20_000 };

/** What becomes of a write before it is answered: it waits, or fails. */
type Delay = () => Promise<void>;

interface Rig {
  readonly elector: Elector;
  /** What was told, in order. */
  readonly told: string[];
  delay: Delay;
  /** What becomes of the answer to a write that was done. */
  answer: Delay;
  /** Whether the server is the one it was. */
  confirm: Delay;
  /** Ends it, and resolves when it has. */
  readonly stop: () => Promise<void>;
  /** What the server keeps. */
  lease: object | null;
}

/** An elector, and a server that keeps one Lease. */
function start(t: TestContext, { renewDeadlineMs = 15_000, lease = null as object | null }): Rig {
  let version = 0;
  const json = async ({ method = 'GET', body, signal }: ApiRequest): Promise<unknown> => {
    if (method === 'GET') {
      if (made.lease === null) throw new ApiError(404, 'not found', null);
      return made.lease;
    }
    await made.delay();
    const { metadata, ...rest } = body as { metadata: { resourceVersion?: string } };
    const known = (made.lease as { metadata?: { resourceVersion?: string } } | null)?.metadata;
    if (known?.resourceVersion !== metadata.resourceVersion) throw new ApiError(409, 'conflict', null);
    made.lease = { ...rest, metadata: { ...metadata, resourceVersion: String(++version) } };
    await Promise.race([made.answer(), aborted(signal)]);
    return made.lease;
  };
  const stopping = new AbortController();
  const told: string[] = [];
  const elector = new Elector({
    ...{ client: { json } as unknown as ApiClient, signal: stopping.signal, random: () => 0 },
    ...{ namespace: 'n', name: 'l', identity: 'c1', address: null, waits: true },
    ...{ durationMs: 20_000, renewDeadlineMs, retryPeriodMs: 20 },
    confirm: () => made.confirm(),
    onRule: (generation) => told.push(`rules by ${generation}`),
    onResume: () => told.push(`resumes: ${elector.rules()}`),
    ...{ onRestored: () => undefined, onDeposed: () => told.push('deposed'), onProblem: () => undefined },
  });
  const at = async () => undefined;
  const stop = () => {
    stopping.abort();
    return running;
  };
  const made: Rig = { elector, told, lease, delay: at, answer: at, confirm: at, stop };
  const running = elector.run();
  t.after(stop);
  return made;
}

/** Rejects when the signal is aborted. */
async function aborted(signal: AbortSignal): Promise<void> {
  await once(signal, 'abort');
  throw signal.reason;
}

async function ruling(t: TestContext, renewDeadlineMs?: number): Promise<Rig> {
  const made = start(t, renewDeadlineMs === undefined ? {} : { renewDeadlineMs });
  await untilTrue(() => made.elector.rules());
  return made;
}

const failing: Delay = async () => {
  throw new ApiError(500, 'made to fail', null);
};

test('a renewal that was begun in time and answered late is a resumption', limit, async (t) => {
  const renewDeadlineMs = 400;
  const all = await ruling(t, renewDeadlineMs);
  const held = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  all.delay = failing;
  await sleep(renewDeadlineMs * 0.7);
  all.delay = () => {
    begun.resolve();
    return held.promise;
  };
  await begun.promise;
  await untilTrue(() => !all.elector.rules());
  all.delay = async () => undefined;
  held.resolve();
  await untilTrue(() => all.elector.rules());
  await sleep(50);
  deepEqual([...new Set(all.told)], ['rules by 1', 'resumes: true']);
});

test('a Lease that is renewed in time is no news', limit, async (t) => {
  const all = await ruling(t);
  let renewals = 0;
  all.delay = async () => void renewals++;
  await untilTrue(() => renewals >= 5);
  deepEqual(all.told, ['rules by 1']);
});

test('a Lease that is deleted is taken by a generation above what was read in it', limit, async (t) => {
  const spec = { holderIdentity: 'c2', leaseDurationSeconds: 3600, leaseTransitions: 7 };
  const all = start(t, { lease: { metadata: { resourceVersion: '1' }, spec } });
  await untilTrue(() => all.elector.record !== null);
  all.lease = null;
  await untilTrue(() => all.elector.rules());
  deepEqual(all.told, ['rules by 8']);
});

test('who finds that another one has taken the Lease rules no more, and never again', limit, async (t) => {
  const all = await ruling(t);
  const spec = { holderIdentity: 'c2', leaseDurationSeconds: 3600, leaseTransitions: 2 };
  all.lease = { metadata: { resourceVersion: '99' }, spec };
  await untilTrue(() => all.told.length > 1);
  equal(all.elector.rules(), false);
  all.lease = null;
  await sleep(100);
  deepEqual([all.lease, all.told], [null, ['rules by 1', 'deposed']]);
});

test('who ends while a renewal is on its way gives the Lease away all the same', limit, async (t) => {
  const all = await ruling(t);
  const written = Promise.withResolvers<void>();
  all.answer = () => {
    written.resolve();
    return new Promise(() => undefined);
  };
  await written.promise;
  const stopped = all.stop();
  all.answer = async () => undefined;
  await stopped;
  deepEqual([all.elector.record?.holder, all.elector.record?.generation, all.told], ['', 1, ['rules by 1']]);
});

test('who ends gives away no Lease that another one took meanwhile', limit, async (t) => {
  const all = await ruling(t);
  const begun = Promise.withResolvers<void>();
  all.delay = () => {
    begun.resolve();
    return failing();
  };
  await begun.promise;
  const spec = { holderIdentity: 'c2', leaseDurationSeconds: 3600, leaseTransitions: 2 };
  all.lease = { metadata: { resourceVersion: '99' }, spec };
  all.delay = async () => undefined;
  await all.stop();
  deepEqual(all.lease, { metadata: { resourceVersion: '99' }, spec });
});

test(
  'no Lease is written where the server is another one, and it is again once it is not',
  limit,
  async (t) => {
    const all = await ruling(t, 400);
    const mine = all.lease;
    let asked = 0;
    all.confirm = async () => {
      asked++;
      throw new Error('another cluster');
    };
    all.lease = null;
    // A renewal that finds the Lease gone looks, and then asks which cluster that is.
    await untilTrue(() => asked > 1 && !all.elector.rules());
    deepEqual([all.lease, all.elector.problem], [null, 'another cluster']);
    all.lease = mine;
    all.confirm = async () => undefined;
    await untilTrue(() => all.elector.rules() && all.elector.problem === null);
  },
);

test('whoever begins to rule knows first which cluster that is', limit, async (t) => {
  const all = start(t, {});
  let asked = 0;
  all.confirm = async () => {
    asked++;
    throw new Error('another cluster');
  };
  await untilTrue(() => asked > 1);
  deepEqual([all.lease, all.told], [null, []]);
});
