// A ListWatch of a fake API server, and what the owner of the ListWatch knows.
import type { TestContext } from 'node:test';
import { ListWatch } from '../../../../src/controller/sources/kubernetes/list-watch.ts';
import { untilTrue } from '../../../patience.ts';
import { clientOf } from './client-of.ts';
import { FakeApi } from './fake-api.ts';

export interface Watched {
  readonly api: FakeApi;
  readonly watch: ListWatch<string>;
  /** What the owner knows from the reported changes: name -> data. */
  readonly known: Map<string, string>;
  /** How many changes were reported. */
  readonly told: () => number;
  /** Throws if the API server is that of another cluster. */
  confirm: () => Promise<void>;
}

/** A ListWatch of a fake API server, in pages of two; both end with the test. */
export async function watched(
  context: TestContext,
  user: object = {},
  names: readonly string[] = ['a', 'b', 'c', 'd', 'e'],
  followed: Promise<void> | undefined = undefined,
): Promise<Watched> {
  const api = await new FakeApi().listen();
  for (const name of names) api.set(name, '1');
  const client = clientOf({ server: api.url }, user);
  const stopping = new AbortController();
  const known = new Map<string, string>();
  let told = 0;
  const watch = new ListWatch<string>({
    client,
    path: '/api/v1/things',
    signal: stopping.signal,
    random: Math.random,
    pageItems: 2,
    cut: (object) => String(object['data']),
    confirm: () => made.confirm(),
    onChange: ({ set, remove }) => {
      told++;
      for (const key of remove) known.delete(key.replace('demo/', ''));
      for (const [key, data] of set) known.set(key.replace('demo/', ''), data);
      return followed;
    },
    onState: () => undefined,
  });
  const ended = { done: Promise.resolve() };
  context.after(async () => {
    stopping.abort();
    await ended.done;
    client[Symbol.dispose]();
    await api[Symbol.asyncDispose]();
  });
  // So a fault that a test sets in its first turn is in place before the first request.
  setImmediate(() => {
    ended.done = watch.run();
  });
  const made: Watched = { api, watch, known, told: () => told, confirm: async () => undefined };
  return made;
}

/** Waits until the owner knows exactly what the API server has. */
export const converged = ({ api, known }: Watched): Promise<void> =>
  untilTrue(
    () =>
      api.objects.size === known.size &&
      [...api.objects].every(([name, { data }]) => known.get(name) === data),
  );
