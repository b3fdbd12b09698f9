// The elector with a slow or failing API server: a holder that renews its Lease late resumes. Real API
// servers are in test/kubernetes.
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

/** What happens to a write before it is answered: it waits or fails. */
type Delay = () => Promise<void>;

interface Rig {
  readonly elector: Elector;
  /** The callbacks of the elector, in order. */
  readonly told: string[];
  delay: Delay;
  /** What happens to the answer of a write that was done. */
  answer: Delay;
  /** Throws if the server is that of another cluster. */
  confirm: Delay;
  /** Ends it, and resolves when it has. */
  readonly stop: () => Promise<void>;
  /** What the server keeps. */
  lease: object | null;
}

/** An elector and a server with one Lease. */
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
    client: { json } as unknown as ApiClient,
    signal: stopping.signal,
    random: () => 0,
    namespace: 'n',
    name: 'l',
    identity: 'c1',
    address: null,
    waits: true,
    durationMs: 20_000,
    renewDeadlineMs,
    retryPeriodMs: 20,
    confirm: () => made.confirm(),
    onRule: (generation) => told.push(`rules by ${generation}`),
    onResume: () => told.push(`resumes: ${elector.rules()}`),
    onRestored: () => undefined,
    onDeposed: () => told.push('deposed'),
    onProblem: () => undefined,
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

test('a renewal that began in time and was answered late resumes the rule', limit, async (t) => {
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

test('a renewal that is answered after the deadline counts from its request', limit, async (t) => {
  const renewDeadlineMs = 200;
  const all = await ruling(t, renewDeadlineMs);
  const held = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  all.answer = () => {
    begun.resolve();
    return held.promise;
  };
  await begun.promise;
  all.delay = failing;
  await sleep(renewDeadlineMs * 1.5);
  held.resolve();
  await sleep(50);
  deepEqual([all.elector.rules(), all.told], [false, ['rules by 1']]);
});

test('a generation that was raised is in the Lease from the next renewal on', limit, async (t) => {
  const all = await ruling(t);
  all.elector.raise(7);
  const written = () => (all.lease as { spec: { leaseTransitions: number } }).spec.leaseTransitions;
  await untilTrue(() => written() === 7);
  deepEqual(all.told, ['rules by 1']);
});

test('renewing the Lease in time calls back nothing', limit, async (t) => {
  const all = await ruling(t);
  let renewals = 0;
  all.delay = async () => void renewals++;
  await untilTrue(() => renewals >= 5);
  deepEqual(all.told, ['rules by 1']);
});

test('a deleted Lease is taken with a generation above the last one read from it', limit, async (t) => {
  const spec = { holderIdentity: 'c2', leaseDurationSeconds: 3600, leaseTransitions: 7 };
  const all = start(t, { lease: { metadata: { resourceVersion: '1' }, spec } });
  await untilTrue(() => all.elector.record !== null);
  all.lease = null;
  await untilTrue(() => all.elector.rules());
  deepEqual(all.told, ['rules by 8']);
});

test('a controller whose Lease was taken by another stops ruling for good', limit, async (t) => {
  const all = await ruling(t);
  const spec = { holderIdentity: 'c2', leaseDurationSeconds: 3600, leaseTransitions: 2 };
  all.lease = { metadata: { resourceVersion: '99' }, spec };
  await untilTrue(() => all.told.length > 1);
  equal(all.elector.rules(), false);
  all.lease = null;
  await sleep(100);
  deepEqual([all.lease, all.told], [null, ['rules by 1', 'deposed']]);
});

test('a controller that ends during a renewal releases the Lease', limit, async (t) => {
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

test('a controller that ends does not release a Lease that another has taken', limit, async (t) => {
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

test('no Lease is written to another cluster, and the rule resumes with the first one', limit, async (t) => {
  const all = await ruling(t, 400);
  const mine = all.lease;
  let asked = 0;
  all.confirm = async () => {
    asked++;
    throw new Error('another cluster');
  };
  all.lease = null;
  // A renewal that finds no Lease reads it, and then asks which cluster this is.
  await untilTrue(() => asked > 1 && !all.elector.rules());
  deepEqual([all.lease, all.elector.problem], [null, 'another cluster']);
  all.lease = mine;
  all.confirm = async () => undefined;
  await untilTrue(() => all.elector.rules() && all.elector.problem === null);
});

test('a controller does not take the Lease before it has confirmed the cluster', limit, async (t) => {
  const all = start(t, {});
  let asked = 0;
  all.confirm = async () => {
    asked++;
    throw new Error('another cluster');
  };
  await untilTrue(() => asked > 1);
  deepEqual([all.lease, all.told], [null, []]);
});
