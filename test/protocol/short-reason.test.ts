// The reason of a close frame fits into it.
import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { shortReason } from '../../src/protocol/write.ts';

test('a reason is cut to 123 bytes, and at the end of a character', () => {
  equal(shortReason('x'.repeat(123)), 'x'.repeat(123));
  equal(shortReason('x'.repeat(124)), 'x'.repeat(123));
  equal(shortReason(`${'x'.repeat(120)}🙂`), 'x'.repeat(120));
  const texts = fc.string({ unit: 'binary', maxLength: 200 });
  fc.assert(
    fc.property(texts, (text) => {
      const reason = shortReason(text);
      const next = [...text.slice(reason.length)][0] ?? '';
      ok(text.startsWith(reason) && Buffer.byteLength(reason) <= 123);
      ok(next === '' || Buffer.byteLength(reason + next) > 123, 'no room was left');
    }),
  );
});
