// The text of files: several documents, JSON, documents that are parsed only once, and files that are
// refused.

import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { Catalog } from '../../../src/controller/sources/catalog.ts';
import {
  DocumentError,
  documentLimitBytes,
  fileLimitBytes,
  parseFile,
  splitDocuments,
} from '../../../src/controller/sources/documents.ts';
import { runningController, service, untilStatus } from '../fixture.ts';

const none = new Map();
const keys = async (text: string, isJson = false) => {
  const { documents } = await parseFile(text, isJson, none);
  return documents.flatMap(({ services }) => services.map(({ key }) => key));
};

test('documents are split where YAML splits them', () => {
  equal(splitDocuments('a: 1\n--- # two\nb: 2\n---\nc: 3\n').length, 3);
  equal(splitDocuments('# a comment\n---\na: 1\n').length, 1);
  equal(splitDocuments('a: "x --- y"\nb: ---z\n').length, 1);
  equal(splitDocuments('%YAML 1.2\n---\na: 1\n').length, 1);
});

test('empty documents and comments are neither Services nor errors', async () => {
  deepEqual(await keys(`---\n---\n# only words\n---\n${service('web')}---\n`), ['demo/web']);
  deepEqual(await keys(''), []);
  deepEqual(await keys(`%YAML 1.2\n---\n${service('a')}...\n---\n${service('b')}`), ['demo/a', 'demo/b']);
});

test('a file with invalid YAML or JSON is refused whole, with the number of the document', async () => {
  for (const text of [
    `${service('web')}---\nkind: [\n`,
    `${service('web')}---\na: b: c\n`,
    'just text\n',
    'a: &x [*x, *y]\n',
  ]) {
    await rejects(parseFile(text, false, none), DocumentError);
  }
  await rejects(parseFile('{"kind":', true, none), /not JSON/);
  await rejects(parseFile(`${service('web')}---\n- 1\n`, false, none), { document: 1 });
});

test('an error in YAML names the line of the file, whatever comes before its document', async () => {
  const before = `# of the web team\n---\n${service('web')}---\n${service('other')}`;
  const line = before.split('\n').length;
  const wrong = {
    document: 2,
    message: `not YAML: Tabs are not allowed as indentation at line ${line + 2}, column 1`,
  };
  await rejects(
    parseFile(`${before}---\nkind: Service\n\tbad: 1\n---\n${service('last')}`, false, none),
    wrong,
  );
  const twice = {
    document: 2,
    message: `not YAML: the key "a" is twice in a mapping, at line ${line + 2}, column 1`,
  };
  await rejects(parseFile(`${before}---\na: 1\na: 2\n---\n${service('last')}`, false, none), twice);
  await rejects(parseFile(`%YAML 1.2\n---\na: 1\n...\n---\n\tb: 1\n`, false, none), / at line 6, column 1$/);
});

test('an alias bomb is refused and not expanded', async () => {
  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...'bcdefgh'.split('').map((name, index) => {
      const before = 'abcdefgh'[index];
      return `${name}: &${name} [${`*${before},`.repeat(9)}]`;
    }),
  ].join('\n');
  await rejects(parseFile(`kind: List\nitems: []\n${bomb}\n`, false, none), DocumentError);
});

test('a duplicate key is refused with its line, even after 20,000 others', async () => {
  const many = Array.from({ length: 20_000 }, (_, n) => `  k${n}: x\n`).join('');
  const text = (more: string) =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n${many}${more}`;
  deepEqual(await keys(text('')), []);
  const refused = {
    document: 0,
    message: 'not YAML: the key "k7" is twice in a mapping, at line 20005, column 3',
  };
  await rejects(parseFile(text('  k7: y\n'), false, none), refused);
  await rejects(parseFile('kind: List\nitems: [{a: 1, b: 2, a: 3}]\n', false, none), /the key "a" is twice/);
});

test('a YAML document that is too long is refused, and the same as JSON is accepted', async () => {
  const note = 'x'.repeat(documentLimitBytes);
  const long = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { note } };
  const message = new RegExp(
    `^\\d+ bytes; at most ${documentLimitBytes} .* split it by ---, or write .*json$`,
  );
  await rejects(parseFile(`${service('web')}---\n${JSON.stringify(long)}\n`, false, none), (error) => {
    ok(error instanceof DocumentError);
    match(error.message, message);
    return error.document === 1;
  });
  const list = { apiVersion: 'v1', kind: 'List', items: [long, JSON.parse(service('web'))] };
  deepEqual(await keys(JSON.stringify(list), true), ['demo/web']);
});

test('a file that is too long is named with its size, and other files are followed', async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const sizeBytes = fileLimitBytes + 1;
  running.write('big.yaml', '#'.repeat(sizeBytes));
  running.write('b.yaml', service('other'));
  await untilStatus(running, ({ problems, vips }) => problems.length > 0 && vips.length === 2);
  const [problem] = running.status().problems;
  match(problem?.file ?? '', /\/big\.yaml$/);
  equal(
    problem?.message,
    `${sizeBytes} bytes; at most ${fileLimitBytes} are read: split it into several files`,
  );
});

test('an unchanged document is not parsed again', async () => {
  const before = await parseFile([service('a'), service('b')].join('---\n'), false, none);
  const after = await parseFile(
    [service('a'), service('b', { ports: [81] })].join('---\n'),
    false,
    before.cache,
  );
  equal(after.documents[0], before.documents[0]);
  equal(after.documents[1] === before.documents[1], false);
});

test('a Service in two files is read from the first by name, or the other if that is removed', async () => {
  const catalog = new Catalog();
  const facts = async (port: number) =>
    (await parseFile(service('web', { ports: [port] }), false, none)).documents;
  catalog.update('b.yaml', await facts(81));
  const { set } = catalog.update('a.yaml', await facts(80));
  deepEqual(
    set.map(({ ports }) => ports[0]?.port),
    [80],
  );
  equal(catalog.problems()[0]?.message, 'demo/web is also in a.yaml, which comes first: remove one of them');
  const changes = catalog.remove('a.yaml');
  deepEqual([changes.set.map(({ ports }) => ports[0]?.port), changes.remove], [[81], []]);
  deepEqual(catalog.remove('b.yaml').remove, ['demo/web']);
});
