// Parsing of the values of flags.
import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { isLoopback, parseCount, parseDuration, parseHostPort } from '../../src/process/values.ts';

test('a duration is a whole number of milliseconds, and one above 0 is at least 1', () => {
  const ms = (text: string) => parseDuration(text, '--timeout');
  deepEqual(
    ['16.1s', '1.001s', '0.29s', '2m', '0.1h', '1.5ms', '0.5ms', '0.1ms'].map(ms),
    [16_100, 1001, 290, 120_000, 360_000, 2, 1, 1],
  );
  deepEqual(['0', '0s', '0.0ms'].map(ms), [0, 0, 0]);
  throws(() => ms('1 s'), /--timeout: expected a duration such as 500ms, 1\.5s or 2m, got "1 s"/);
});

test('a count has at most 15 digits, so that it is exact', () => {
  equal(parseCount('999999999999999', '--set-size'), 999_999_999_999_999);
  for (const text of ['1000000000000000', '-1', '1.5', '']) throws(() => parseCount(text, '--set-size'));
});

test('HOST:PORT without a host has no host, and does not count as loopback', () => {
  const of = (text: string) => parseHostPort(text, '--listen');
  deepEqual(of(':9470'), { host: undefined, port: 9470 });
  deepEqual(of('[::1]:1'), { host: '::1', port: 1 });
  deepEqual(of('node-a:1'), { host: 'node-a', port: 1 });
  for (const text of ['::1', '9470', 'a:b', 'a:65536']) throws(() => of(text), /expected HOST:PORT/);
  equal(isLoopback(of(':9470').host), false);
});
