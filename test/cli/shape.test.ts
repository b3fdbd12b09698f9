// What a verb does with the answer of another program, or of another version: it believes none of it.
import { deepEqual, equal, match, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { checkShape, type Shape } from '../../src/cli/shape.ts';
import { run, startStub } from './stub.ts';

const vip = { address: '10.0.0.1', node: null, term: null, state: 'serving', reason: '', services: [] };
const strange: readonly unknown[] = [
  '<html>It works!</html>',
  null,
  3,
  [],
  {},
  { status: 'ok' },
  { vips: [null], nodes: [null] },
  { vips: {}, nodes: [] },
  { vips: [{ ...vip, services: {} }], nodes: [] },
  { vips: [{ ...vip, term: 5 }], nodes: [] },
  { node: 'a', firewall: null, inSync: true, vips: [{ address: '10.0.0.1', ports: [{ protocol: 6 }] }] },
  { differs: 'no', remove: [], add: [] },
  { differs: true, remove: 3, add: [] },
  { verdict: 'accept', rule: null, reason: '', services: 'demo/web', foreign: [] },
  { verdict: 'accept' },
  { filter: 'observe', capacity: 1024, full: false },
];

for (const [role, path, words] of [
  ['controller', 'GET /api/v1/status', ['status']],
  ['controller', 'GET /api/v1/status', ['status', '-o', 'json']],
  ['agent', 'GET /status', ['status', '-o', 'wide']],
  ['agent', 'GET /would-drop', ['status', '--would-drop']],
  ['agent', 'GET /explain', ['explain', '10.0.0.1:80']],
  ['agent', 'GET /diff', ['diff']],
  ['controller', 'POST /api/v1/move', ['move', '10.0.0.1', 'a']],
  ['controller', 'POST /api/v1/drain', ['drain', 'a']],
  ['controller', 'POST /api/v1/undrain', ['undrain', 'a']],
] as const)
  test(`${words.join(' ')} exits 3 and names the server if it is no ${role}`, async () => {
    for (const answer of strange.filter((one) => !path.startsWith('POST') || !Object(one).node)) {
      const body = typeof answer === 'string' ? answer : JSON.stringify(answer);
      await using server = await startStub({ [path]: [200, body] });
      const { code, out, err } = await run([...words, `--${role}`, server.url]);
      deepEqual([code, out], [3, ''], body);
      const [method, at] = path.split(' ');
      const what = `: it is not a vipward ${role}, or one of another version; `;
      const next = method === 'POST' ? 'the controller may still do it' : 'check that it runs there, or name';
      equal(err.includes(`${server.url}: answered ${at}`) && err.includes(`${what}${next}`), true, err);
    }
  });

test('the first field of the wrong type is named', async () => {
  const said = async (body: object): Promise<string> => {
    await using server = await startStub({ 'GET /api/v1/status': [200, body] });
    return (await run(['status', '--controller', server.url])).err;
  };
  match(await said({ vips: [vip] }), /, but answer\.nodes: expected a list, got undefined: /);
  match(await said({ vips: [vip, { ...vip, reason: 4 }] }), /vips\[1\]\.reason: expected a text, got 4: /);
});

test('names that may be missing or null are checked if they are there, and others are ignored', () => {
  const shape = {
    'a?': 'text',
    'b|null': 'number',
    'c?|null': { d: 'flag' },
    'e?': { '*': 'number' },
  } as const;
  const isOf = (value: object, of: Shape = shape): void => checkShape(value, of);
  isOf({ b: null });
  isOf({ a: '', b: 1.5, c: null, e: {}, f: 1 });
  isOf({ b: 1, c: { d: true }, e: { x: 1, y: 2 } });
  for (const [value, path] of [
    [{}, 'b'],
    [{ b: '1' }, 'b'],
    [{ b: 1, a: null }, 'a'],
    [{ b: 1, c: { d: 1 } }, 'c.d'],
    [{ b: 1, c: [] }, 'c'],
    [{ b: 1, e: { x: 1, y: null } }, 'e.y'],
  ] as const)
    throws(() => isOf(value), { message: new RegExp(`^answer\\.${path}: expected `) });
});
