// What `npm test` reports of faulty test files, and how it exits.
import { equal, match } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

/** The files lie in the checkout, whose types are stripped and whose packages are found. */
function reported(...bodies: readonly string[]): { status: number | null; stdout: string } {
  using folder = mkdtempDisposableSync(join('build', 'reporter-'));
  const paths = bodies.map((body, index) => {
    const path = join(folder.path, `${'abc'[index]}.test.ts`);
    writeFileSync(path, `import { describe, test } from 'node:test';\n${body}\n`);
    return path;
  });
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const argv = ['--test', '--test-reporter=./test/reporter.ts', '--test-reporter-destination=stdout'];
  return spawnSync(process.execPath, [...argv, '--test-concurrency=3', ...paths], { encoding: 'utf8', env });
}

interface Case {
  readonly what: string;
  readonly body: string;
  readonly says: readonly RegExp[];
  readonly counts: string;
  readonly status: number;
}

const well = "test('well', () => {});";
const cases: readonly Case[] = [
  { what: 'all tests pass', body: well, says: [], counts: '1 passed, 0 failed, 0 skipped', status: 0 },
  {
    what: 'a suite throws before its tests are known',
    body: `${well} describe('broken', () => { throw new Error('no such table'); });`,
    says: [/^FAIL \S+a\.test\.ts:2 broken$/m, /no such table/],
    counts: '1 passed, 1 failed, 0 skipped',
    status: 1,
  },
  {
    what: 'a test of a suite fails',
    body: `describe('suite', () => { ${well} test('ill', () => { throw new Error('wrong'); }); });`,
    says: [/^FAIL \S+a\.test\.ts:2 ill$/m],
    counts: '1 passed, 1 failed, 0 skipped',
    status: 1,
  },
  {
    what: 'a suite is skipped without a reason',
    body: `${well} describe.skip('quiet', () => { ${well} });`,
    says: [/^FAIL \S+ quiet$/m, /skipped without a reason/],
    counts: '1 passed, 1 failed, 0 skipped',
    status: 1,
  },
  {
    what: 'a suite is skipped with a reason',
    body: `${well} describe('far', { skip: 'no kernel' }, () => { ${well} });`,
    says: [/^skip \S+ far: no kernel$/m],
    counts: '1 passed, 0 failed, 1 skipped',
    status: 0,
  },
  {
    what: 'a test is skipped without a reason',
    body: `${well} test.skip('quiet', () => {});`,
    says: [/^FAIL \S+ quiet$/m],
    counts: '1 passed, 1 failed, 0 skipped',
    status: 1,
  },
  {
    what: 'the only suite is skipped with a reason',
    body: `describe('far', { skip: 'no kernel' }, () => { ${well} });`,
    says: [/^skip \S+ far: no kernel$/m, /^pass \S+ \(0 tests/m],
    counts: '0 passed, 0 failed, 1 skipped',
    status: 1,
  },
  {
    what: 'a file holds no test',
    body: '',
    says: [/^FAIL \S+a\.test\.ts:1 /m, /the file holds no test/],
    counts: '0 passed, 1 failed, 0 skipped',
    status: 1,
  },
  {
    what: 'a file ends by itself after its tests',
    body: `${well} process.on('exit', () => { process.exitCode = 3; });`,
    says: [/^FAIL \S+a\.test\.ts \(1 tests, /m, /test failed/],
    counts: '1 passed, 1 failed, 0 skipped',
    status: 1,
  },
];

for (const { what, body, says, counts, status } of cases) {
  test(`the reporter says "${counts}" when ${what}`, () => {
    const { stdout, ...ended } = reported(body);
    for (const words of says) match(stdout, words);
    equal(stdout.split('\n').at(-2), counts, stdout);
    equal(ended.status, status);
  });
}

test('the reporter prints the results of a file while those before it are still running', () => {
  const slow = "test('slow', () => new Promise((resolve) => setTimeout(resolve, 3000)));";
  const { stdout, status } = reported(slow, "test('ill', () => { throw new Error('wrong'); });");
  match(
    stdout,
    /^FAIL \S+b\.test\.ts:2 ill$(?:.|\n)*^FAIL \S+b\.test\.ts \((?:.|\n)*^pass \S+a\.test\.ts \(/m,
  );
  equal(status, 1);
});
