// Judges what a server answered: the answer that a verb reads, or an error with the exit code.

import { ownWords, tlsAdvice } from '../process/tls-advice.ts';
import { FrameError } from '../protocol/shape.ts';
import { checkShape, type Shape, type Shaped } from './shape.ts';
import { plain } from './table.ts';

export interface Question {
  readonly method: 'GET' | 'POST';
  /** Path and query. */
  readonly path: string;
  readonly body?: unknown;
  /** What the verb reads of the answer. */
  readonly shape: Shape;
}

export interface Answer<Json = unknown> {
  readonly status: number;
  readonly text: string;
  readonly json: Json;
}

/** No server gave a readable answer: exit code 3. */
export class NoAnswerError extends Error {
  readonly code = 'NoAnswer';
  readonly exitCode = 3;
}

/** The server refused the request: exit code 1, or 2 if the request itself was invalid. */
export class RefusedError extends Error {
  readonly code = 'Refused';
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The server's reason why it cannot answer; another server of its role may be able to. */
export class UnableError extends Error {}

/** Throws RefusedError for a 4xx answer, NoAnswerError if a change may have been done, else another error. */
export function checked<const Q extends Question>(
  answer: Answer,
  url: URL,
  role: 'controller' | 'agent',
  question: Q,
): Answer<Shaped<Q['shape']>> {
  if (answer.status < 300) {
    const why = strangeness(answer.json, question.shape);
    if (why === undefined) return answer as Answer<Shaped<Q['shape']>>;
    const what = `it is not a vipward ${role}, or one of another version`;
    throw unanswered(new Error(`answered ${url.pathname}${why}: ${what}`), url, question);
  }
  const error = (answer.json as { readonly error?: Failure } | undefined)?.error;
  if (error?.message === undefined) {
    const why = `answered ${url.pathname} with status ${answer.status}`;
    throw unanswered(new Error(why), url, question);
  }
  const next = otherRole(error) ?? error.next;
  const words = `${plain(error.message)}${next === undefined ? '' : `; ${plain(next)}`}`;
  // A server without this path has done and refused nothing, so another server may be asked.
  if (error.code === 'NotFound') throw new UnableError(words);
  if (answer.status >= 500) throw unanswered(new UnableError(words), url, question);
  throw new RefusedError(`${url.host}: ${words}`, answer.status === 400 ? 2 : 1);
}

function strangeness(json: unknown, shape: Shape): string | undefined {
  if (json === undefined) return ' with a body that is not JSON';
  try {
    checkShape(json, shape);
    return undefined;
  } catch (error) {
    if (error instanceof FrameError) return `, but ${plain(error.message)}`;
    throw error;
  }
}

interface Failure {
  readonly code?: string;
  readonly message?: string;
  readonly next?: string;
  /** In a 404 answer: the paths that the server has. */
  readonly paths?: readonly string[];
}

/** The advice if the user asked a server of the wrong role. */
function otherRole({ paths }: Failure): string | undefined {
  if (!Array.isArray(paths)) return undefined;
  if (paths.includes('/api/v1/status'))
    return 'this is a controller: name an agent with --agent, or use status --controller';
  if (paths.includes('/status'))
    return 'this is an agent: name a controller with --controller, or use status --agent';
  return undefined;
}

/** The error of a sent request. A change is not sent again, because it may have been done. */
export function unanswered(error: unknown, url: URL, { method }: Question): unknown {
  if (method === 'GET') return error;
  const next = 'the controller may still do it: see vipward status';
  return new NoAnswerError(`${url.origin}: ${wordsOf(error)}; ${next}`, { cause: error });
}

/** An AggregateError of several attempts (a name with two addresses) has its messages in its parts. */
export function wordsOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(wordsOf).join(', ');
  if (!(error instanceof Error)) return String(error);
  const advice = tlsAdvice((error as NodeJS.ErrnoException).code ?? '');
  return advice === undefined ? error.message : `${ownWords(error)} (${advice})`;
}
