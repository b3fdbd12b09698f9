// The text of the status equals that of JSON.stringify, and the event loop runs while it is made.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { parsePools } from '../../../src/controller/allocation/pools.ts';
import { Controller } from '../../../src/controller/controller.ts';
import { noRecords } from '../../../src/controller/records/records.ts';
import { readDocument } from '../../../src/controller/sources/manifest.ts';
import { type StatusInput, statusOf } from '../../../src/controller/status/status.ts';
import { statusText } from '../../../src/controller/status/status-text.ts';
import type { ServiceKey } from '../../../src/state/service.ts';
import { serviceObject } from '../fixture.ts';

function standing(services: number, invalid: readonly string[] = []): StatusInput {
  const controller = new Controller({
    records: { ...noRecords, cluster: 'c', generation: 1, drained: ['n1'] },
    pools: parsePools(['p=10.64.0.0/16']),
    filterByDefault: true,
    onChange: () => undefined,
    nowMs: () => 0,
  });
  const names = Array.from({ length: services }, (_, index) => `s${index}`);
  const set = names.flatMap((name) => readDocument(serviceObject(name)).services);
  controller.publish({ set, remove: [] });
  return {
    controller,
    massRemoval: null,
    problems: [],
    ignored: { Secret: 2 },
    reason: null,
    invalid: new Map(invalid.map((key) => [key as ServiceKey, 'no ports']) as [ServiceKey, string][]),
  };
}

async function whole(input: StatusInput): Promise<string> {
  let text = '';
  for await (const piece of statusText(input)) text += piece;
  return text;
}

test('the text of a status equals that of JSON.stringify', async () => {
  for (const input of [standing(0), standing(3), standing(2, ['demo/a', 'demo/b'])]) {
    const value = statusOf(input);
    equal(await whole(input), `${JSON.stringify(value, null, 2)}\n`);
  }
});

test('the event loop runs while a long status is made', async () => {
  const input = standing(5000);
  let isMade = false;
  const made = whole(input).finally(() => {
    isMade = true;
  });
  let turns = 0;
  for (; !isMade; turns++) await turn();
  const text = await made;
  ok(turns > 1, `${turns} turns`);
  equal((JSON.parse(text) as { vips: unknown[] }).vips.length, 5000);
});

test('an exception while a status is made is passed on', async () => {
  const input = standing(1);
  const { usersOf } = input.controller.allocator;
  input.controller.allocator.usersOf = () => {
    throw new RangeError('no such VIP');
  };
  const failed = await whole(input).catch((error: Error) => error.message);
  input.controller.allocator.usersOf = usersOf;
  deepEqual(failed, 'no such VIP');
});
