// The log of an agent that repairs its kernel again and again, or cannot: a few lines, however often.

import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { Reporter, type ReporterParts } from '../../src/agent/reporter.ts';
import { Tallies } from '../../src/agent/tallies.ts';
import { logLines } from '../log-lines.ts';

function reporting() {
  const { lines, log } = logLines();
  const tallies = new Tallies();
  const reporter = new Reporter({ ledger: { held: new Map() }, log, tallies } as unknown as ReporterParts);
  let read = 0;
  const said = () => {
    const news = lines.slice(read);
    read = lines.length;
    return news.map(({ event, kind, objects, reason }) => [event, kind ?? reason, objects]);
  };
  return { tallies, loop: reporter.ofLoop, said };
}

test('repairs that another program undoes are logged at once, and then as a sum in ten seconds', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { tallies, loop, said } = reporting();
  for (let times = 0; times < 225; times++) loop.onRepaired('rules', 1);
  loop.onRepaired('address', 2);
  deepEqual(said(), [
    ['reconciled', 'rules', 1],
    ['reconciled', 'address', 2],
  ]);
  t.mock.timers.tick(10_000);
  deepEqual(said(), [['reconciled', 'rules', 224]]);
  loop.onRepaired('address', 3);
  deepEqual(said(), [['reconciled', 'address', 3]]);
  t.mock.timers.tick(10_000);
  loop.onRepaired('rules', 4);
  deepEqual(said(), [['reconciled', 'rules', 4]]);
  deepEqual([tallies.repairs.get('rules'), tallies.repairs.get('address')], [229, 5]);
});

test('trouble with the kernel is logged once for each reason, until the kernel was read again', () => {
  const { loop, said } = reporting();
  for (const reason of ['full', 'full', 'busy', 'busy']) loop.onTrouble(new Error(reason));
  deepEqual(said(), [
    ['kernelTrouble', 'full', undefined],
    ['kernelTrouble', 'busy', undefined],
  ]);
  loop.onWell();
  loop.onTrouble(new Error('busy'));
  deepEqual(said(), [['kernelTrouble', 'busy', undefined]]);
});
