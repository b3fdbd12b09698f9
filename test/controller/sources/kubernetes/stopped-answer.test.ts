// An answer of the API server that stops in the middle while the connection stays: the request does not wait
// for ever.
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { clientOf } from './client-of.ts';
import { FakeApi } from './fake-api.ts';

const limit = { timeout: 20_000 };
const timeoutMs = 200;

/** Asks a server that answers with this status, and then with these parts of a body, each after a while. */
async function asked(
  status: number,
  parts: readonly string[],
  lengthBytes: number,
  headers: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  await using api = await new FakeApi().listen();
  api.fault = (_, response) => {
    response.writeHead(status, { 'content-length': String(lengthBytes), ...headers });
    response.flushHeaders();
    void (async () => {
      for (const part of parts) {
        await sleep(timeoutMs / 4);
        response.write(part);
      }
    })();
    return 'done';
  };
  using client = clientOf({ server: api.url });
  return await client.json({ path: '/api/v1/things', signal: new AbortController().signal, timeoutMs });
}

test('an answer that stops before its end is given up', limit, async () => {
  await rejects(asked(200, ['{"items":['], 1000), { message: `the answer stopped for ${timeoutMs} ms` });
  await rejects(asked(200, [], 1000), /the answer stopped/);
});

test('an answer that leaves HTTP is given up', limit, async () => {
  const headers = { connection: 'upgrade', upgrade: 'another' };
  await rejects(asked(101, [], 0, headers), { message: 'the connection was closed without an answer' });
});

test('a refusal is reported by its status even if its body does not end', limit, async () => {
  await rejects(asked(403, ['{"message":'], 1000), (error) => {
    equal((error as { code?: unknown }).code, 403);
    return true;
  });
});

test('an answer that goes on is read to its end, however long that takes', limit, async () => {
  const text = JSON.stringify({ items: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] });
  const parts = text.match(/.{1,4}/g) ?? [];
  ok(parts.length > 8);
  deepEqual(await asked(200, parts, text.length), JSON.parse(text));
});
