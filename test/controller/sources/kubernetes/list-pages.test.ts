// A list whose objects are so large that a page of the usual size is not read.
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerTooLongError } from '../../../../src/controller/sources/kubernetes/client.ts';
import { listPages } from '../../../../src/controller/sources/kubernetes/list-pages.ts';
import { untilTrue } from '../../../patience.ts';
import { converged, watched } from './watched.ts';

test('a list whose page is too long is read again in smaller pages', async (t) => {
  const long = 'x'.repeat(7 * 1024 * 1024);
  const all = await watched(t, {}, ['a']);
  await converged(all);
  all.api.fault = (request, response) => {
    if (request.url?.includes('limit=2') !== true) return 'go on';
    response.end(`{"items":["${long.repeat(5)}"]}`);
    return 'done';
  };
  for (const name of ['b', 'c', 'd']) all.api.set(name, '1');
  void all.watch.restored();
  await untilTrue(() => all.api.lists === 2);
  await converged(all);
  equal(all.api.count('limit=1'), 4);
});

/** A list of 20 objects of which `most` fit in an answer, and the limits of the pages that were asked for. */
function asking(most: number) {
  const limits: number[] = [];
  const json = async ({ path }: { readonly path: string }): Promise<unknown> => {
    const [limit = 0, from = 0] = path.split(' ').map(Number);
    limits.push(limit);
    if (limit > most) throw new AnswerTooLongError('too long');
    const names = Array.from({ length: Math.min(limit, 20 - from) }, (_, index) => `o${from + index}`);
    const items = names.map((name) => ({ metadata: { name, resourceVersion: '1' } }));
    const next = from + limit < 20 ? String(from + limit) : '';
    return { metadata: { resourceVersion: '1', continue: next }, items };
  };
  const pathOf = (words: Readonly<Record<string, string>>) => `${words['limit']} ${words['continue'] ?? 0}`;
  const { signal } = new AbortController();
  return { limits, pages: listPages({ client: { json }, pathOf, pageItems: 500, signal }) };
}

test('pages shrink to a quarter each time, and stay as small as they had to be', async () => {
  const { limits, pages } = asking(10);
  const keys: string[] = [];
  for await (const { items } of pages) keys.push(...items.map(({ key }) => key));
  deepEqual(
    keys,
    Array.from({ length: 20 }, (_, index) => `o${index}`),
  );
  deepEqual(limits, [500, 125, 32, 8, 8, 8]);
});

test('an object that is too long on its own is an error', async () => {
  const { limits, pages } = asking(0);
  await rejects(pages.next(), AnswerTooLongError);
  deepEqual(limits, [500, 125, 32, 8, 2, 1]);
});
