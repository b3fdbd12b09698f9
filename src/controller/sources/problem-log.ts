// Logs what is wrong with a source: whenever that changes, and when all is right again.

import type { Log } from '../../process/log.ts';
import type { Problem } from '../service.ts';

/** Most problems in one line of the log; the status lists all. */
const mostLogged = 10;

/** Takes all present problems, however often, and logs those that differ from the last ones. */
export function problemLog(log: Log): (problems: readonly Problem[]) => void {
  let told = '';
  return (all) => {
    const problems = all.map(wordsOf);
    const text = problems.join('\n');
    if (text === told) return;
    told = text;
    log.warn({ count: problems.length, problems: problems.slice(0, mostLogged) }, 'sourceState');
  };
}

function wordsOf({ file, document, service, message }: Problem): string {
  // An answer of the API server is told with its request.
  if (message.startsWith('GET /')) return message;
  const part = service ?? (document === null ? null : `document ${document}`);
  return `${file}: ${part === null ? '' : `${part}: `}${message}`;
}
