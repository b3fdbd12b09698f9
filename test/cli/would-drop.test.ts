// `status --would-drop` against a stand-in for the agent.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run, startStub } from './stub.ts';

const lastSeen = '2026-11-24T20:25:33.123Z';
const sample = { vip: '10.0.0.10', source: '192.0.2.7', protocol: 'TCP', port: 22, packets: 3, lastSeen };
const portless = { ...sample, protocol: 'ICMP', port: 0 };
const report = { filter: 'observe', capacity: 1024, full: false, samples: [sample, portless] };

test('status --would-drop prints every sample, and with -o json the answer of the agent', async () => {
  await using agent = await startStub({ 'GET /would-drop': [200, report] });
  const { code, out } = await run(['status', '--would-drop', '--agent', agent.url]);
  assert.equal(code, 0);
  assert.match(out, /^VIP +SOURCE +PROTOCOL +PORT +PACKETS +LAST SEEN$/m);
  assert.match(out, /^10\.0\.0\.10 +192\.0\.2\.7 +TCP +22 +3 +2026-11-24T20:25:33\.123Z$/m);
  assert.match(out, /ICMP +- +3/);
  const json = await run(['status', '--would-drop', '-o', 'json', '--agent', agent.url]);
  assert.deepEqual(JSON.parse(json.out), report);
});

test('status --would-drop says if samples are missing or the agent takes none', async () => {
  const said = async (body: object): Promise<string> => {
    await using agent = await startStub({ 'GET /would-drop': [200, { ...report, ...body }] });
    return (await run(['status', '--would-drop', '--agent', agent.url])).out;
  };
  assert.match(await said({ full: true }), /only 1024 samples of a family are kept/);
  assert.match(await said({ filter: 'enforce', samples: [] }), /start it with --filter observe/);
});
