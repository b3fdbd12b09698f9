// The reporter of `npm test`: a line a file, every failure and every skip with its reason, and last
// `N passed, N failed, N skipped`. It counts what the runner by itself would let pass, and prints each result
// at once: the runner holds back a file's other events until all files before it have ended.
import { relative, resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
  /** Tests so far of each file that has not ended and has had a result, if only of a suite. */
  readonly inFile: Map<string, number>;
}

type Result = Extract<TestEvent, { type: 'test:complete' }>['data'];

/** What node --test calls with its stream of events. */
export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0, inFile: new Map() };
  for await (const event of source) {
    switch (event.type) {
      case 'test:complete':
        yield isFile(event.data) ? countFile(counts, event.data) : countResult(counts, event.data);
        break;
      case 'test:stdout':
      case 'test:stderr':
        yield event.data.message;
        break;
      case 'test:diagnostic':
        // Else a missed coverage threshold would exit 1 in silence.
        if (event.data.level === 'error') yield `${event.data.message}\n`;
        break;
      default:
    }
  }
  // A pattern that matches nothing must not look like success.
  if (counts.passed === 0 || counts.failed > 0) process.exitCode = 1;
  yield `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`;
}

/** The result of a whole file, which comes after those of its tests. */
function isFile({ name, file, nesting }: Result): boolean {
  return file !== undefined && nesting === 0 && resolve(name) === resolve(file);
}

function countFile(counts: Counts, result: Result): string {
  const { name, details } = result;
  const tests = counts.inFile.get(resolve(name));
  counts.inFile.delete(resolve(name));
  if (tests === undefined && details.passed)
    return isFiltered() ? '' : failed(counts, result, 'the file holds no test');
  const verdict = details.passed ? 'pass' : 'FAIL';
  const tookMs = Math.round(details.duration_ms);
  const line = `${verdict} ${relative('.', name)} (${tests ?? 0} tests, ${tookMs} ms)\n`;
  return details.passed || haveSubtestsFailed(result)
    ? line
    : failed(counts, result, describeFailure(details.error)) + line;
}

function countResult(counts: Counts, result: Result): string {
  const { details } = result;
  const entry = resolve(entryOf(result));
  const isSuite = details.type === 'suite';
  counts.inFile.set(entry, (counts.inFile.get(entry) ?? 0) + (isSuite ? 0 : 1));
  const reason = result.skip ?? result.todo;
  if (reason !== undefined && reason !== false) {
    if (typeof reason !== 'string' || reason === '')
      return failed(counts, result, 'skipped without a reason');
    counts.skipped++;
    return `skip ${where(result)}${result.name}: ${reason}\n`;
  }
  if (!details.passed)
    return isSuite && haveSubtestsFailed(result)
      ? ''
      : failed(counts, result, describeFailure(details.error));
  if (!isSuite) counts.passed++;
  return '';
}

function failed(counts: Counts, result: Result, why: string): string {
  counts.failed++;
  return `FAIL ${where(result)}${result.name}\n${why.replace(/^/gm, '     ')}\n`;
}

function where({ file, line }: Result): string {
  return file === undefined ? '' : `${relative('.', file)}:${line ?? 1} `;
}

/** The file that was run; a test may stand in another one, which that file imports. */
function entryOf(result: Result): string {
  return (result as { readonly entryFile?: string }).entryFile ?? result.file ?? '';
}

/** With a name pattern, a file without a matching test is nothing to complain of. */
function isFiltered(): boolean {
  return process.execArgv.some((word) => /^--test-(name-pattern|skip-pattern|only)/.test(word));
}

/** Nothing is to be said of a file or a suite beside what failed in it. */
function haveSubtestsFailed({ details: { error } }: Result): boolean {
  return error instanceof Error && 'failureType' in error && error.failureType === 'subtestsFailed';
}

function describeFailure(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (typeof cause === 'string') return cause;
  // The stack of an assertion begins with its whole message; its fields would say everything twice.
  return cause instanceof Error && cause.name === 'AssertionError'
    ? `${cause.stack}`
    : inspect(cause, { depth: 4 });
}
