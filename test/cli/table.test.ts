import assert from 'node:assert/strict';
import { test } from 'node:test';
import { table } from '../../src/cli/table.ts';

test('columns are as wide as their widest cell, and the last one is not padded', () => {
  assert.equal(table(['A', 'B', 'C'], [['long', '', 'x'], ['1']]), 'A     B  C\nlong     x\n1\n');
});

test('a table may have 200,000 rows', () => {
  const rows = Array.from({ length: 200_000 }, (_, index) => [String(index), 'serving']);
  const lines = table(['ADDRESS', 'STATE'], rows).split('\n');
  assert.deepEqual(lines.slice(-2), ['199999   serving', '']);
  assert.equal(lines.length, 200_002);
});
