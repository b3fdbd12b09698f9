// The house style, as far as a machine can see it. Each rule lists every place that breaks it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const NOT_OURS = new Set(['.git', 'node_modules', 'build', 'dist', 'coverage']);
const MOST_COLUMNS = 110;
const MOST_LINES = 250;
const MOST_LINES_OF_C = 500;
const MOST_HEADER_LINES = 3;

// Put together from halves, so that this file does not hold what it looks for.
const UNFINISHED = new RegExp(
  `\\b(${['TO-DO', 'FIX-ME', 'XX-X', 'HA-CK'].join('|').replaceAll('-', '')})\\b`,
);
const MACHINE_PATH = new RegExp(
  ['/wo-rk/', '/fa-rm/', '/ho-me/[a-z]', '/Us-ers/[A-Za-z]', '/tmp/ba-sh'].join('|').replaceAll('-', ''),
);
const SAYS_NOTHING = /(^|\/)(utils?|libs?|common|helpers?|managers?|misc)(\/|\.[a-z.]+$)/;
const SOURCE = /\.(ts|c|h|sh|js)$/;
const PURE = /^src\/(state|protocol|netlink|dialects)\//;

interface SourceFile {
  readonly path: string;
  readonly lines: readonly string[];
}

const files: readonly SourceFile[] = readdirSync(root, { withFileTypes: true })
  .filter((entry) => !NOT_OURS.has(entry.name))
  .flatMap((entry) => (entry.isDirectory() ? walk(join(root, entry.name)) : [join(root, entry.name)]))
  .map((path) => ({ path: relative(root, path), text: readFileSync(path) }))
  .filter(({ text }) => !text.includes(0))
  .map(({ path, text }) => ({ path, lines: text.toString().replace(/\n$/, '').split('\n') }));
const source = files.filter(({ path }) => /^(src|test|bench|native|bin)\//.test(path) && SOURCE.test(path));
const typed = source.filter(({ path }) => /^src\/.*\.ts$/.test(path));

test('the type checker reports nothing', () => runs('typescript/bin/tsc', '--noEmit'));

test('the linter and the formatter report nothing', () =>
  runs('@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '--max-diagnostics=50', '.'));

test('no line is wider than 110 columns', () => {
  none(placesWhere(source, (line) => line.length > MOST_COLUMNS));
});

test('a file of TypeScript has at most 250 lines, one of C 500', () => {
  const tooLong = source.filter(
    ({ path, lines }) => lines.length > (/\.[ch]$/.test(path) ? MOST_LINES_OF_C : MOST_LINES),
  );
  none(tooLong.map(({ path, lines }) => `${path}: ${lines.length} lines`));
});

test('no source line is marked as unfinished', () => {
  none(placesWhere(source, (line) => UNFINISHED.test(line)));
});

test('no file or folder has a name without meaning, such as utils', () => {
  none(files.map(({ path }) => path).filter((path) => SAYS_NOTHING.test(path)));
});

test('no file names a path of one machine', () => {
  const written = files.filter(({ path }) => path !== 'package-lock.json');
  none(placesWhere(written, (line) => MACHINE_PATH.test(line)));
});

test('the pure folders use neither globalThis nor dynamic imports', () => {
  const pure = typed.filter(({ path }) => PURE.test(path));
  none(placesWhere(pure, (line) => /\bglobalThis\b|\bimport\(['"]/.test(line)));
});

test('the product starts no program, except in the demo and for the plugin that a kubeconfig names', () => {
  const plugin = 'src/controller/sources/kubernetes/exec-plugin.ts';
  const product = typed.filter(({ path }) => !/^src\/cli\/demo[./]/.test(path) && path !== plugin);
  none(placesWhere(product, (line) => /child_process/.test(line)));
});

test('folders of one process import each other in one direction only', () => {
  const imports = typed.flatMap(({ path, lines }) => {
    const from = dirname(path);
    const others = lines.flatMap((line) => / from '(\.[^']+)'/.exec(line)?.[1] ?? []);
    return others.map((other) => [from, dirname(join(from, other))] as const);
  });
  const pairs = new Set(imports.map(([from, to]) => `${from} ${to}`));
  const isTop = (folder: string) => folder.split('/').length === 2;
  const mutual = imports.filter(
    ([from, to]) => from < to && !isTop(from) && !isTop(to) && pairs.has(`${to} ${from}`),
  );
  none([...new Set(mutual.map(([from, to]) => `${from} and ${to}`))]);
});

test('each file of src opens with a comment of one to three lines', () => {
  const wrong = typed.filter(({ lines }) => {
    const header = headerLength(lines);
    return header < 1 || header > MOST_HEADER_LINES;
  });
  none(wrong.map(({ path, lines }) => `${path}: ${headerLength(lines)} lines`));
});

test('between 5 and 30 percent of the lines of src are comments', () => {
  const lines = typed.flatMap((file) => file.lines);
  const comments = lines.filter((line) => /^\s*(\/\/|\/\*|\*)/.test(line)).length;
  const percent = (100 * comments) / Math.max(lines.length, 1);
  assert.ok(percent >= 5 && percent <= 30, `${percent.toFixed(1)} % of ${lines.length} lines`);
});

const ROOTS = ['src/agent/link.ts', 'src/controller/hub.ts', 'src/cli/main.ts'];
const missing = ROOTS.filter((path) => !existsSync(join(root, path)));
const early = missing.length > 0 && `${missing.join(', ')} not there yet`;

test('every package in package.json is used', { skip: early }, () => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    readonly dependencies: Record<string, string>;
    readonly devDependencies: Record<string, string>;
  };
  const imported = files
    .filter(({ path }) => !/^package(-lock)?\.json$/.test(path))
    .flatMap(({ lines }) => lines);
  const names = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)];
  // Types of a package count as used where the package is; `types` of tsconfig.json names @types/node.
  const used = (name: string) =>
    imported.some((line) => line.includes(`'${name.replace('@types/', '')}'`) || line.includes(`${name}/`));
  none(names.filter((name) => name !== '@types/node' && !used(name)));
});

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function placesWhere(among: readonly SourceFile[], breaks: (line: string) => boolean): string[] {
  return among.flatMap(({ path, lines }) =>
    lines.flatMap((line, index) => (breaks(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  );
}

function none(places: readonly string[]): void {
  assert.ok(places.length === 0, `\n${places.join('\n')}`);
}

/** The lines of the comment that a file begins with. */
function headerLength(lines: readonly string[]): number {
  if (lines[0]?.startsWith('/*')) return lines.findIndex((line) => line.includes('*/')) + 1;
  return lines.findIndex((line) => !line.startsWith('//'));
}

/** Runs the program of a package on this Node; it must succeed. */
function runs(program: string, ...words: string[]): void {
  const path = join(root, 'node_modules', program);
  assert.ok(existsSync(path), `${program} is missing: rm -r node_modules and run again`);
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...words], {
    cwd: root,
    encoding: 'utf8',
  });
  assert.ok(status === 0, `\n${stdout}${stderr}`);
}
