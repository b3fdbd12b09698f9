// A watch of which nothing is heard: its connection may be dead without a word.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { untilTrue } from '../../../patience.ts';
import { converged, watched } from './watched.ts';

test('a watch of which nothing is heard for 90 s is begun anew, without another list', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const all = await watched(t);
  const watches = () => all.api.count('watch=true');
  await untilTrue(() => all.api.watches === 1);
  // The client has the answer's header.
  all.api.set('f', '1');
  await converged(all);
  t.mock.timers.tick(89_999);
  deepEqual([watches(), all.watch.problem], [1, null]);
  t.mock.timers.tick(1);
  await untilTrue(() => watches() === 2 && all.watch.problem === null);
  equal(all.api.lists, 1);
});
