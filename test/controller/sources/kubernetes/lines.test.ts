// The chunks of a watch may end in a line, in a character or before a newline. The lines stay the same.
import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LineError, Lines, lineLimitBytes } from '../../../../src/controller/sources/kubernetes/lines.ts';

/** Texts with characters of one to four bytes, and no newline. */
const line = fc.string({ unit: 'binary', maxLength: 20 }).map((text) => text.replaceAll('\n', 'é'));

/** The lines in the chunks, and what a newline behind them completes. */
function read(chunks: readonly Uint8Array[]): { lines: string[]; rest: string[] } {
  const reader = new Lines();
  const lines = chunks.flatMap((chunk) => [...reader.push(chunk)]);
  return { lines, rest: [...reader.push(Buffer.from('\n'))] };
}

test('lines are the same wherever the stream is cut, and an incomplete line is not returned', () => {
  const stream = fc.record({ lines: fc.array(line), rest: line, cuts: fc.array(fc.nat()) });
  fc.assert(
    fc.property(stream, ({ lines, rest, cuts }) => {
      const bytes = Buffer.from([...lines.map((text) => `${text}\n`), rest].join(''));
      const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
      const chunks = places.slice(1).map((place, index) => bytes.subarray(places[index], place));
      const said = (texts: string[]) =>
        texts.map((text) => Buffer.from(text).toString()).filter((text) => text !== '');
      deepEqual(read(chunks), { lines: said(lines), rest: said([rest]) });
    }),
    // By default a TextDecoder takes a byte order mark away.
    { numRuns: 1000, examples: [[{ lines: ['\ufeff{}'], rest: '', cuts: [] }]] },
  );
});

test('a stream of single bytes gives the same lines as one chunk', () => {
  const bytes = Buffer.from('{"é":"🙂"}\n{"b":2}\n{"cut":');
  const single = [...bytes].map((byte) => Uint8Array.of(byte));
  deepEqual(read(single), { lines: ['{"é":"🙂"}', '{"b":2}'], rest: ['{"cut":'] });
});

test('a chunk may be overwritten after push', () => {
  const reader = new Lines();
  const chunk = Buffer.from('one');
  deepEqual([...reader.push(chunk)], []);
  chunk.fill('x');
  deepEqual([...reader.push(Buffer.from('\n'))], ['one']);
});

test('an endless line and invalid UTF-8 are a LineError', () => {
  const reader = new Lines();
  const chunk = new Uint8Array(1024 * 1024).fill(97);
  for (let sent = 0; sent < lineLimitBytes; sent += chunk.length) equal([...reader.push(chunk)].length, 0);
  throws(() => [...reader.push(chunk)], LineError);
  throws(() => [...new Lines().push(Uint8Array.of(0xc3, 0x28, 0x0a))], LineError);
});
