// The vectors of docs/protocol.md against the code. They were made independently of it (Python's json and
// hashlib).

import { deepEqual, equal, ok } from 'node:assert/strict';
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { canonicalJson, Digests } from '../../src/protocol/digest.ts';
import {
  features,
  frameLimitBytes,
  heartbeatMs,
  heldFrameLimitBytes,
  heldLimit,
  limits,
  pageServices,
  replacedReason,
  stagedLimit,
  subprotocol,
  type TableDigest,
  vipLimitBytes,
} from '../../src/protocol/messages.ts';
import { parseControllerMessage } from '../../src/protocol/parse.ts';

const page = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');
const sha256 = (text: string) => hash('sha256', text);

interface Vector {
  readonly text: string;
  readonly bucket: number;
  readonly hash: string;
}

interface TableVectors {
  readonly table: string;
  readonly resources: readonly Vector[];
  readonly have: TableDigest;
  readonly digest: string;
}

/** The blocks of the page, each a table: lines of a word and its value. */
function vectors(): TableVectors[] {
  const block = /```vectors\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  return block.split('\n\n').map((part) => {
    const lines = part.split('\n').map((line) => /^(\w+) +(.*)$/.exec(line));
    const all = (word: string) => lines.flatMap((line) => (line?.[1] === word ? [line[2] ?? ''] : []));
    const [buckets, hashes] = [all('bucket'), all('hash')];
    const resources = all('text').map((text, index) => {
      return { text, bucket: Number(buckets[index]), hash: hashes[index] ?? '' };
    });
    const have = JSON.parse(all('have')[0] ?? '') as TableDigest;
    return { table: all('table')[0] ?? '', resources, have, digest: all('digest')[0] ?? '' };
  });
}

function resourceOf(table: string, text: string) {
  const message = parseControllerMessage(`{"type":"page","table":"${table}","buckets":[],"set":[${text}]}`);
  if (message.type !== 'page') throw new Error(message.type);
  const [resource] = message.set;
  ok(resource !== undefined);
  return resource;
}

test('the texts, buckets, hashes and digests of docs/protocol.md are those of the code', () => {
  const tables = vectors();
  deepEqual(
    tables.map(({ table, resources }) => [table, resources.length]),
    [
      ['rules', 3],
      ['placements', 2],
      ['rules', 0],
    ],
  );
  for (const { table, resources, have, digest } of tables) {
    const digests = new Digests(sha256);
    for (const vector of resources) {
      const resource = resourceOf(table, vector.text);
      equal(canonicalJson(resource), vector.text);
      equal(digests.bucketOf(resource.address), vector.bucket);
      const alone = new Digests(sha256);
      alone.set(resource);
      deepEqual(alone.summary().digests, { [vector.bucket]: vector.hash });
      digests.set(resource);
    }
    deepEqual(digests.summary(), have);
    equal(digests.total(), digest);
    deepEqual(digests.differing(have), []);
  }
});

test('the order of members, spaces and unknown members change nothing in the canonical text', () => {
  const text = vectors()[0]?.resources[2]?.text ?? '';
  const { address, ports, ...flags } = JSON.parse(text) as Record<string, unknown>;
  const reversed = (ports as object[]).map((port) =>
    Object.fromEntries([['later', 1], ...Object.entries(port).reverse()]),
  );
  const other = JSON.stringify({ ports: reversed, more: {}, ...flags, address }, null, 2);
  equal(canonicalJson(resourceOf('rules', other)), text);
});

test('the numbers and names of docs/protocol.md are those of the code', () => {
  const told = (words: RegExp): string[] =>
    words
      .exec(page)
      ?.slice(1)
      .map((one) => one.replaceAll(',', '')) ?? [];
  const mib = (bytes: number): number => bytes / 2 ** 20;
  const { name, nodeName, reason, ofNode } = limits;
  for (const [words, ...expected] of [
    [
      /A frame has at most (\d+) MiB; a frame\s.*\sat most (\d+) MiB: room for ([\d,]+) VIPs/,
      mib(frameLimitBytes),
      mib(heldFrameLimitBytes),
      heldLimit,
    ],
    [/`firewall` and `cluster` (\d+), `node`\s(\d+), `reason` ([\d,]+)/, name, nodeName, reason],
    [/`onLink` and `macs`\s([\d,]+);/, ofNode],
    [/canonical JSON of a resource has at most (\d+) MiB/, mib(vipLimitBytes)],
    [/hold at most ([\d,]+) resources, ports and sources/, stagedLimit],
    [/At most (\d+) Services a page/, pageServices],
    [/would hold more than ([\d,]+) VIPs/, heldLimit],
    [/sends `tick` every (second)/, heartbeatMs === 1000 ? 'second' : heartbeatMs],
    [/`\/agent` of the controller with\ssubprotocol `(.*)`/, subprotocol],
    [/a reason that begins\s`(.*)`/, replacedReason],
    [/There is one: with `(.*)` a controller/, ...features],
  ] as const)
    deepEqual(told(words), expected.map(String));
});

test('docs/protocol.md names every message type and every refusal code', async () => {
  const source = readFileSync(new URL('../../src/protocol/parse.ts', import.meta.url), 'utf8');
  const types = [...source.matchAll(/^ {4}case '(\w+)':/gm)].map(([, type]) => type);
  equal(types.length, 14);
  for (const type of types) ok(page.includes(`\`${type}\``), `${type} is not in docs/protocol.md`);
  const { RefusalCode } = await import('../../src/protocol/messages.ts');
  for (const code of Object.values(RefusalCode))
    ok(page.includes(code), `${code} is not in docs/protocol.md`);
});

test('docs/protocol.md lists exactly the statuses that refuse a stream', () => {
  const read = (name: string) =>
    readFileSync(new URL(`../../src/controller/${name}`, import.meta.url), 'utf8');
  const refusals = `${read('stream/upgrade-policy.ts')}${read('stream/upgrade-handler.ts')}`.matchAll(
    /\bstatus: (\d+)/g,
  );
  const rows = page.slice(page.indexOf('## Opening')).matchAll(/^\| ([45]\d\d) /gm);
  const numbers = (found: Iterable<RegExpExecArray>) => new Set([...found].map(([, status]) => status));
  deepEqual(numbers(rows), numbers(refusals));
});
