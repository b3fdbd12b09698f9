// No message of an agent is so long that its stream is closed for it.

import { deepEqual, equal, match, throws } from 'node:assert/strict';
import { test } from 'node:test';
import type { Hello, Refused } from '../../src/protocol/messages.ts';
import { openFrame, readAgentMessage } from '../../src/protocol/parse.ts';
import { agentFrame } from '../../src/protocol/write.ts';
import type { Address, Prefix } from '../../src/state/address.ts';
import { runningController, service } from '../controller/fixture.ts';
import { untilTrue } from '../patience.ts';
import { agentOf } from './agent-side.ts';

const many = Array.from({ length: 1500 }, (_, index) => index);
const prefixes = many.map((index) => `10.${index >> 8}.${index & 255}.0/24` as Prefix);
const refused: Refused = {
  type: 'refused',
  table: 'rules',
  key: '10.77.0.100' as Address,
  services: [],
  code: 'KernelRefused',
  reason: 'so '.repeat(5000),
};

test('an agent shortens a hello and a reason to the limits of a controller', () => {
  const none = { count: 0, digests: {} };
  const hello: Hello = {
    type: 'hello',
    version: '0'.repeat(100),
    features: [],
    node: 'n1',
    firewall: 'f'.repeat(100),
    allow: prefixes,
    onLink: prefixes,
    cluster: null,
    generation: 0,
    held: [],
    macs: many.map((index) => `02:00:5e:10:${(index >> 8).toString(16).padStart(2, '0')}:00`),
    rules: none,
    placements: none,
  };
  const said = readAgentMessage(openFrame(agentFrame(hello))) as Hello;
  const first = prefixes.slice(0, 1000);
  deepEqual([said.allow, said.onLink, said.macs?.length], [first, first, 1000]);
  deepEqual([said.version, said.firewall], [`${'0'.repeat(63)}…`, `${'f'.repeat(63)}…`]);
  const { macs: _, ...others } = hello;
  equal((readAgentMessage(openFrame(agentFrame(others))) as Hello).macs, undefined);
  const { reason } = readAgentMessage(openFrame(agentFrame(refused))) as Refused;
  equal(reason.length, 4096);
  match(reason, /^so so .*…$/);
});

test('a hello is accepted exactly with the node names that Kubernetes allows', () => {
  const none = { count: 0, digests: {} };
  const named = (node: unknown) => {
    const hello = {
      type: 'hello',
      version: '0',
      features: [],
      node,
      firewall: 'nftables',
      cluster: null,
      allow: [],
      onLink: [],
      generation: 0,
      rules: none,
      placements: none,
      held: [],
    };
    return (readAgentMessage(openFrame(JSON.stringify(hello))) as Hello).node;
  };
  for (const name of ['n', 'n1', '7', 'ip-10-0-0-1.eu.example', `n${'1'.repeat(252)}`])
    equal(named(name), name);
  const wrong = [
    '',
    'N1',
    'n_1',
    'n 1',
    'n1\n',
    '\x1b[2Jn1',
    'n/1',
    '-n',
    'n-',
    '.n',
    'n.',
    'é',
    'n'.repeat(254),
    7,
  ];
  for (const name of wrong) throws(() => named(name), /node: expected/);
});

test('a message within the limits is sent unchanged', () => {
  const short: Refused = { ...refused, reason: 'x'.repeat(4096), mac: '02:00:5e:10:00:01' };
  deepEqual(readAgentMessage(openFrame(agentFrame(short))), short);
});

test('a reason that is too long does not end the stream', { timeout: 60_000 }, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const agent = agentOf(t, [running.url.replace('http', 'ws')]);
  await untilTrue(() => agent.session.rules.resources.size === 1);
  agent.session.send(refused);
  await untilTrue(() => running.status().nodes[0]?.refusals.length === 1);
  equal(running.controller.closedConnections.lastOf('n1'), null);
});

test('an address, a prefix, a service, a MAC and a digest have one form each', () => {
  const name = 'n'.repeat(253);
  const read = (key: string, more: object = {}) => {
    const message = {
      type: 'refused',
      table: 'rules',
      services: [],
      code: 'Forbidden',
      reason: '',
      key,
      ...more,
    };
    return readAgentMessage(openFrame(JSON.stringify(message)));
  };
  for (const key of ['10.0.0.1', 'fd77::1', '64:ff9b::102:304', '::1']) read(key);
  const wrongKeys = [
    '10.0.0.01',
    'fd77:0::1',
    'FD77::1',
    'fd77::1%eth0',
    '64:ff9b::1.2.3.4',
    '::ffff:10.0.0.1',
  ];
  for (const key of wrongKeys) throws(() => read(key), /^Error: key: /);
  read('10.0.0.1', { services: [`${name}/${name}`], mac: '02:00:5e:10:00:0a' });
  for (const services of [[`${name}n/a`], [`a/${name}n`], ['a'], ['a/b/c'], ['A/b'], ['-a/b'], ['a/b.']])
    throws(() => read('10.0.0.1', { services }), /^Error: services\[0\]: expected NAMESPACE\/NAME/);
  for (const mac of ['02:00:5E:10:00:0a', '02-00-5e-10-00-0a', '02:00:5e:10:00', '02:00:5e:10:00:0a:0b'])
    throws(() => read('10.0.0.1', { mac }), /^Error: mac: expected/);
  const resync = (bucket: string, digest: string) => {
    const have = { count: 1, digests: { [bucket]: digest } };
    return readAgentMessage(openFrame(JSON.stringify({ type: 'resync', table: 'rules', have })));
  };
  resync('255', '0123456789abcdef');
  for (const bucket of ['256', '01', '-1', 'x', '1000'])
    throws(() => resync(bucket, '0123456789abcdef'), /^Error: have\.digests\..*: expected a bucket of 0-255/);
  for (const digest of ['0123456789ABCDEF', '0123456789abcde', '0123456789abcdef0'])
    throws(() => resync('1', digest), /^Error: have\.digests\.1: expected/);
});
