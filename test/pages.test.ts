// The pages for users against the code: what they name exists, and what exists is named.
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { agentOptions } from '../src/agent/config.ts';
import { makeProgram } from '../src/cli/verbs.ts';
import { controllerOptions } from '../src/controller/config.ts';
import { RefusalReason } from '../src/controller/service.ts';
import { kubernetesOptions } from '../src/controller/sources/kubernetes/config.ts';
import { VipState } from '../src/controller/status/vip-state.ts';
import { RefusalCode } from '../src/protocol/messages.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(`${root}/${path}`, 'utf8');
const [readme, operating, kubernetes] = ['README.md', 'docs/operating.md', 'docs/kubernetes.md'].map(
  read,
) as [string, string, string];

/** A section of a page, from its heading to the next. */
function section(name: string, page = operating): string {
  const start = page.indexOf(`## ${name}\n`);
  ok(start >= 0, name);
  return page.slice(start, page.indexOf('\n## ', start + 1));
}

/** The words in backticks of the first column of a section's tables. */
function firstColumn(name: string, page = operating): string[] {
  const cells = [...section(name, page).matchAll(/^\| (`.*?) +\| /gm)].map(([, cell]) => cell ?? '');
  return cells.flatMap((cell) => [...cell.matchAll(/`([-\w]+)`/g)].map(([, word]) => word ?? ''));
}

/** The text of all sources of a folder. */
function sources(folder: string): string {
  const names = readdirSync(`${root}/src/${folder}`, { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => name.endsWith('.ts'))
    .map((name) => read(`src/${folder}/${name}`))
    .join('\n');
}

const program = makeProgram(
  { env: {}, out: { write: () => undefined }, err: { write: () => undefined } },
  () => undefined,
);
const shown = program.createHelp().visibleCommands(program);
const verbs = shown.filter((command) => !['agent', 'controller', 'help'].includes(command.name()));

test('docs/operating.md lists exactly the verbs, and every flag of both programs', () => {
  const commands = section('Commands');
  for (const verb of verbs) ok(commands.includes(verb.name()), `${verb.name()} is not in the page`);
  const named = [...commands.matchAll(/`vipward (\w+)/g)].map(([, verb]) => verb);
  for (const verb of named)
    ok(
      verbs.some((one) => one.name() === verb),
      `vipward ${verb} is no verb`,
    );
  const agent = section('The agent');
  for (const { name } of agentOptions) ok(agent.includes(`\`--${name}`), `--${name} is in no row`);
  const controller = section('The controller');
  for (const { name } of controllerOptions)
    ok(new RegExp(`--${name}(?![-\\w])`).test(controller), `--${name} is in no row`);
  const [, also = ''] = /With `--kubernetes` also (.*?);/s.exec(controller) ?? [];
  const flags = [...also.matchAll(/`--(.*?)`/g)].map(([, flag]) => flag);
  deepEqual(
    ['kubernetes', ...flags],
    kubernetesOptions.map(({ name }) => name),
  );
});

test('docs/operating.md has the default of every flag in its row', () => {
  for (const option of [...agentOptions, ...controllerOptions]) {
    const rows = operating.split('\n').filter((line) => line.startsWith(`| \`--${option.name} `));
    if (rows.length > 0 && 'default' in option)
      match(rows.join('\n'), new RegExp(`default \`?${RegExp.escape(option.default)}(?![-\\w])`));
  }
});

test('every flag that a page names exists', () => {
  const known = new Set<string>([
    'help',
    'version',
    ...agentOptions.map(({ name }) => name),
    ...controllerOptions.map(({ name }) => name),
  ]);
  for (const verb of verbs) for (const { long } of verb.options) known.add(long?.slice(2) ?? '');
  // The flags of other programs stand in blocks of their own, or after the program's name.
  const foreign = /^.*(?:npm|kubectl|helm|openssl|podman).*$/gm;
  for (const [page, text] of [
    ['README.md', readme],
    ['docs/operating.md', operating],
  ] as const) {
    const flags = [...text.replaceAll(foreign, '').matchAll(/(?<![-\w])--([a-z][-a-z]+)/g)].map(
      ([, flag]) => flag ?? '',
    );
    deepEqual(
      flags.filter((flag) => !known.has(flag)),
      [],
      page,
    );
  }
});

test('the pages list exactly the states and reasons of the code', () => {
  const states = firstColumn('States of a VIP');
  deepEqual(states.toSorted(), Object.values(VipState).toSorted());
  const code = sources('controller');
  const reasons = firstColumn('Reasons');
  const said = [...code.matchAll(/reason: '([A-Z]\w+)'/g)].map(([, reason]) => reason ?? '');
  for (const reason of [...said, ...Object.values(RefusalReason), ...Object.values(RefusalCode)])
    ok(reasons.includes(reason) || kubernetes.includes(`\`${reason}\``), `${reason} is in no page`);
  for (const reason of reasons)
    ok(new RegExp(`['\`]${reason}['\`:]`).test(code) || reason in RefusalCode, `${reason} is in no source`);
});

test('docs/kubernetes.md lists every reason that an Event can have', () => {
  const others = ['controller/owners/eligibility.ts', 'controller/status/vip-state.ts'];
  const code = [sources('controller/sources/kubernetes'), ...others.map((path) => read(`src/${path}`))];
  const said = [...code.join('\n').matchAll(/reason: '([A-Z]\w+)'/g)].map(([, reason]) => reason ?? '');
  const page = firstColumn('What it writes', kubernetes);
  for (const reason of [...said, ...Object.values(RefusalReason), ...Object.values(RefusalCode)])
    ok(page.includes(reason), `${reason} is in no row`);
});

test('every file that docs/ARCHITECTURE.md names exists', () => {
  const page = read('docs/ARCHITECTURE.md');
  const way = page.split('```')[1]?.match(/(?<=^.{26})[-\w*]+\/[-\w*/]+(?= )/gm) ?? [];
  const words = [...section('Words', page).matchAll(/`([a-z]+\/[-\w/]+)`/g)].map(([, word = '']) => word);
  const groups = [...page.matchAll(/^\| `src\/(\w+)`.*?\n\n/gms)].flatMap(([table, folder]) =>
    [...table.matchAll(/^\| (\w+)\/ +\|(.*)/gm)].flatMap(([, room, row = '']) =>
      [...row.matchAll(/`([-\w]+)\/?`/g)].map(([, name]) => `${folder}/${room}/${name}`),
    ),
  );
  for (const found of [way, words, groups]) ok(found.length > 9);
  for (const name of [...way, ...words, ...groups])
    ok(globSync(`${root}/src/${name}{,.ts}`).length > 0, `${name} is not in src`);
});

test('no folder has more lines than its decision allows', () => {
  const claims = readdirSync(`${root}/docs/decisions`).flatMap((name) => {
    const text = read(`docs/decisions/${name}`);
    return [...text.matchAll(/under (\d+) lines[^`]*`wc -l (src\/[\w/]+)\/\*\.ts`/gi)];
  });
  equal(claims.length, 2);
  for (const [, most, folder = ''] of claims) {
    const lines = sources(folder.slice('src/'.length)).trimEnd().split('\n').length;
    ok(lines < Number(most), `${folder} has ${lines} lines`);
  }
});

/** The names of the log events in the sources of a folder. */
function logEvents(code: string): Set<string> {
  const events = [
    ...code.matchAll(/log\.\w+\([^;]*?'([-\w]+)'\)/g),
    ...code.matchAll(/event: '(\w+)'/g),
    ...code.matchAll(/\? '(\w+)' : '(\w+)'\)/g),
  ];
  return new Set(events.flatMap(([, ...found]) => found).filter((name) => name !== undefined));
}

for (const program of ['agent', 'controller'])
  test(`the pages list exactly the log events of the ${program}`, () => {
    const code = sources(program);
    const page = firstColumn(`Log events of the ${program}`);
    for (const name of logEvents(code))
      ok(page.includes(name) || kubernetes.includes(`\`${name}\``), `${name} is in no page`);
    for (const name of page) ok(code.includes(`'${name}'`), `${name} is in no source`);
  });

test('the answer to a failed request names the log event of each program', () => {
  const [, words = ''] = /look for the event (.*) in its log/.exec(sources('process')) ?? [];
  const named = new Set(words.match(/[-\w]*failed/gi));
  for (const program of ['agent', 'controller'])
    equal(logEvents(sources(program)).intersection(named).size, 1, `${program}: ${words}`);
});

test('every log event that an alert names exists', () => {
  const known = ['agent', 'controller'].flatMap((program) => [...logEvents(sources(program))]);
  const named = [...read('deploy/chart/files/alerts.yaml').matchAll(/log\s+event\s+`([^`]+)`/g)];
  ok(named.length > 0);
  for (const [, name = ''] of named) ok(known.includes(name), `${name} is in no source`);
});

test('docs/kubernetes.md lists exactly the annotations that are read, in their order of precedence', () => {
  const code = read('src/controller/sources/annotations.ts');
  const page = section('What a Service may ask for', kubernetes);
  const names = (text: string, quote: string): string[] => {
    const name = new RegExp(`${quote}((?:[-\\w]+\\.)+\\w+/[-\\w]+)${quote}`, 'g');
    return [...text.matchAll(name)].map(([, found]) => found ?? '');
  };
  deepEqual(new Set(names(page, '`').toSorted()), new Set(names(code, "'").toSorted()));
  const rows = page.split('\n').map((row) => `${names(row, '`')}`);
  const lists = [...code.matchAll(/^const \w+Names = \[(.*?)\]/gms)].map(([, list = '']) => names(list, "'"));
  equal(lists.length, 3);
  for (const list of lists) ok(rows.includes(`${list}`), `in another order: ${list}`);
});

test('the README has the figures of the benchmark run that it names', () => {
  const [file = ''] = /bench\/results\/[-\d]+\.json/.exec(readme) ?? [];
  const { results } = JSON.parse(read(file)) as { results: readonly Result[] };
  for (const { size, floor, inProcess, overWebSocket, coldLoadMs, memoryMb } of results) {
    const spreads = [floor, inProcess, overWebSocket].map(
      ({ hot }) => `${Math.round(hot.add.p50)} / ${Math.round(hot.add.p99)}`,
    );
    const memory = `${Math.round(memoryMb.started)} / ${Math.round(memoryMb.idle)} MB`;
    const cells = [size.toLocaleString('en'), ...spreads, `${Math.round(coldLoadMs)} ms`, memory];
    const row = new RegExp(`^\\| ${cells.join(' +\\| ')} +\\|$`, 'm');
    ok(row.test(readme), `not in the README: ${cells.join(' | ')}`);
  }
  for (const { size, overWebSocket, peers } of results) {
    const ours = [overWebSocket.hot.add, overWebSocket.hot.change]
      .map(({ p50 }) => (p50 / 1000).toFixed(2))
      .join(' / ');
    const theirs = Object.values(peers).map(({ add, change }) => `${inMs(add.p50)} / ${inMs(change.p50)}`);
    const row = new RegExp(`^\\| ${[size.toLocaleString('en'), ours, ...theirs].join(' +\\| ')} +\\|$`, 'm');
    ok(row.test(readme), `not in the README: ${[size, ours, ...theirs].join(' | ')}`);
  }
});

interface Spread {
  readonly p50: number;
  readonly p99: number;
}

interface Spreads {
  readonly add: Spread;
  readonly change: Spread;
}

interface Result {
  readonly size: number;
  readonly floor: { readonly hot: Spreads };
  readonly inProcess: { readonly hot: Spreads };
  readonly overWebSocket: { readonly hot: Spreads };
  readonly coldLoadMs: number;
  readonly memoryMb: { readonly started: number; readonly idle: number };
  readonly peers: Readonly<Record<string, Spreads>>;
}

/** Milliseconds with two digits that mean something. */
function inMs(us: number): string {
  const ms = us / 1000;
  return ms < 1 ? ms.toFixed(2) : ms < 10 ? ms.toFixed(1) : String(Math.round(ms));
}

test('docs/kubernetes.md names the Lease that controllers hold by default', () => {
  const name = controllerOptions.find((option) => option.name === 'leader-elect-resource-name');
  ok(name?.kind === 'text' && name.default !== undefined);
  match(kubernetes, new RegExp(`get lease ${name.default} `));
});
