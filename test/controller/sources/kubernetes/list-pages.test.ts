// A list whose objects are so large that a page of the usual size is not read.
import { equal } from 'node:assert/strict';
import { test } from 'node:test';
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
  await untilTrue(() => all.watch.lists === 2);
  await converged(all);
  equal(all.api.count('limit=1'), 4);
});
