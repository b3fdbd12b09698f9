// The codes of answers over HTTP against the page for users.

import { deepEqual, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), 'utf8');

/** What any group of a pattern captures in some files of src. */
function captured(pattern: RegExp, ...paths: readonly string[]): string[] {
  const found = paths.flatMap((path) => [...read(`src/${path}`).matchAll(pattern)]);
  return found.map(([, ...groups]) => groups.find((group) => group !== undefined) ?? '');
}

test('docs/operating.md lists exactly the codes of answers over HTTP', () => {
  const answers = [
    'process/http.ts',
    'controller/api.ts',
    'agent/answers/api.ts',
    'agent/start-when-possible.ts',
  ];
  const said = captured(/code: '(\w+)'|\bcode = reason \?\? '(\w+)'/g, ...answers);
  // An agent passes on the codes of these errors.
  const errors = ['state/address.ts', 'state/port.ts', 'host/socket.ts'];
  const passedOn = captured(/readonly code = '(\w+)'/g, ...errors);
  ok(passedOn.length === errors.length);
  const [, section = ''] = /^## Questions over HTTP\n(.*?)^## /ms.exec(read('docs/operating.md')) ?? [];
  const rows = [...section.matchAll(/^\| (`.*?) +\| /gm)].map(([, cell = '']) => cell);
  const page = rows.flatMap((cell) => [...cell.matchAll(/`([A-Z]\w+)`/g)].map(([, code]) => code));
  deepEqual(page.toSorted(), [...new Set([...said, ...passedOn])].toSorted());
});
