// The reporter of `npm test`: a line a file, every failure and every skip with its reason, and last
// `N passed, N failed, N skipped`. It counts what the runner by itself would let pass.
import { relative, resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

type Result = Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>;

/** What node --test calls with its stream of events. */
export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  for await (const event of source) {
    switch (event.type) {
      case 'test:pass':
      case 'test:fail':
        yield countResult(counts, event);
        break;
      case 'test:stdout':
      case 'test:stderr':
        yield event.data.message;
        break;
      case 'test:diagnostic':
        // Else a missed coverage threshold would exit 1 in silence.
        if (event.data.level === 'error') yield `${event.data.message}\n`;
        break;
      case 'test:summary':
        if (event.data.file !== undefined) yield fileLine(event.data.file, event.data);
        break;
      default:
    }
  }
  // A pattern that matches nothing must not look like success.
  if (counts.passed === 0 || counts.failed > 0) process.exitCode = 1;
  yield `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`;
}

function countResult(counts: Counts, { type, data }: Result): string {
  const isSuite = data.details.type === 'suite';
  const where = data.file === undefined ? '' : `${relative('.', data.file)}:${data.line ?? 1} `;
  const failed = (why: string) => {
    counts.failed++;
    return `FAIL ${where}${data.name}\n${why.replace(/^/gm, '     ')}\n`;
  };
  const reason = data.skip ?? data.todo;
  if (reason !== undefined && reason !== false) {
    if (typeof reason !== 'string' || reason === '') return failed('skipped without a reason');
    counts.skipped++;
    return `skip ${where}${data.name}: ${reason}\n`;
  }
  if (type === 'test:fail') {
    if (isSuite && failureTypeOf(data.details.error) === 'subtestsFailed') return '';
    return failed(describeFailure(data.details.error));
  }
  if (isSuite) return '';
  // A file in which nothing was tested is reported as one passed test of the file's name.
  if (data.file !== undefined && data.nesting === 0 && resolve(data.name) === resolve(data.file)) {
    return isFiltered() ? '' : failed('the file holds no test');
  }
  counts.passed++;
  return '';
}

/** With a name pattern, a file without a matching test is nothing to complain of. */
function isFiltered(): boolean {
  return process.execArgv.some((word) => /^--test-(name-pattern|skip-pattern|only)/.test(word));
}

/** `subtestsFailed` of a suite that has nothing to say beside what failed in it. */
function failureTypeOf(error: unknown): unknown {
  return error instanceof Error && 'failureType' in error ? error.failureType : undefined;
}

function describeFailure(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (typeof cause === 'string') return cause;
  // The stack of an assertion begins with its whole message; its fields would say everything twice.
  return cause instanceof Error && cause.name === 'AssertionError'
    ? `${cause.stack}`
    : inspect(cause, { depth: 4 });
}

function fileLine(file: string, summary: Extract<TestEvent, { type: 'test:summary' }>['data']): string {
  const verdict = summary.success ? 'pass' : 'FAIL';
  const tookMs = Math.round(summary.duration_ms);
  return `${verdict} ${relative('.', file)} (${summary.counts.tests} tests, ${tookMs} ms)\n`;
}
