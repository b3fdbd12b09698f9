// Parsing the input of an agent ends in a value or in the error class of that parser, whatever the input.

import { deepEqual, equal } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { nameservers } from '../../src/agent/addresses/nameservers.ts';
import { agentConfig, agentOptions } from '../../src/agent/config.ts';
import { journalFile, readJournal } from '../../src/agent/disk/journal-file.ts';
import { CredentialError, readCredentials } from '../../src/agent/stream/credentials.ts';
import { readOptions } from '../../src/process/options.ts';
import { UsageError } from '../../src/process/usage.ts';
import { readPlacement, readVirtualIp } from '../../src/protocol/resources.ts';
import { parseAddress } from '../../src/state/address.ts';
import { folder } from '../controller/fixture.ts';
import { changed, endsWell, garbled } from '../hostile-values.ts';

const runs = { numRuns: 500 };

const required = ['--node', 'n1', '--controller', 'ws://10.0.0.1:9470', '--allow', '10.0.0.0/8'];

async function configOf(argv: readonly string[]): Promise<void> {
  const { values, help } = await readOptions(agentOptions, { argv, env: {} });
  if (!help) agentConfig(values);
}

test('a garbled config file of an agent ends in a config or a UsageError', async (t) => {
  const path = join(folder(t), 'config.yaml');
  const config = {
    node: 'n1',
    controller: ['ws://10.0.0.1:9470', 'wss://[fd00::1]:9470'],
    allow: '10.0.0.0/8,fd00::/64',
    interface: ['eth0', 'eth1'],
    counters: true,
    setSize: 100,
    commitInterval: '250ms',
    metricsListen: '[::1]:9472',
    filter: 'observe',
  };
  const text = fc.oneof(
    garbled(stringify(config)),
    changed(config).map((value) => stringify(value)),
  );
  const property = fc.asyncProperty(text, async (content) => {
    writeFileSync(path, content);
    await endsWell(() => configOf(['--config', path]), UsageError);
  });
  await fc.assert(property, runs);
});

test('any flags of an agent end in a config or a UsageError', async () => {
  const words = [
    ...['--node', 'n1', '--controller=wss://b', '--allow', 'fd00::/64', '--interface', 'auto', '--counters'],
    ...['--no-counters', '--set-size', '5', '--commit-interval=1.5s', '--listen', ':9471', '--filter', '-h'],
  ];
  const word = fc.oneof(garbled(...words), fc.constantFrom(...words, '--', '-', '--=', '--no-help', ''));
  const property = fc.asyncProperty(fc.array(word, { maxLength: 6 }), (more) =>
    endsWell(() => configOf([...required, ...more]), UsageError),
  );
  await fc.assert(property, { numRuns: 2000 });
});

test('a garbled state on disk gives valid rules and placements, and a reason if it ends early', async (t) => {
  const directory = folder(t);
  const lines = [
    { layout: 1 },
    { cluster: 'c1', generation: 3 },
    {
      rule: {
        address: '10.50.0.1',
        ports: [
          { protocol: 'TCP', port: 80, service: 'demo/web', delivery: 'host', sources: ['10.0.0.0/8'] },
        ],
        filtered: true,
        egress: false,
      },
    },
    { placement: { address: '10.50.0.1', term: { generation: 3, n: 7 } } },
    { noRule: '10.50.0.1' },
    { noPlacement: '10.50.0.1' },
  ];
  const read = (text: string) => {
    writeFileSync(join(directory, journalFile), text);
    return readJournal(directory);
  };
  const { state, problem } = read(
    lines
      .slice(0, 4)
      .map((line) => JSON.stringify(line))
      .join('\n'),
  );
  deepEqual([state.rules.size, state.placements.size, problem], [1, 1, null]);
  const text = fc.oneof(
    garbled(lines.map((line) => JSON.stringify(line)).join('\n')),
    fc
      .array(changed(...lines), { maxLength: 4 })
      .map((some) => [lines[0], ...some].map((line) => JSON.stringify(line)).join('\n')),
  );
  const property = fc.property(text, (content) => {
    const found = read(content);
    for (const [key, rule] of found.state.rules) {
      equal(key, rule.address);
      deepEqual(readVirtualIp(JSON.parse(JSON.stringify(rule)), 'rule'), rule);
    }
    for (const [key, placement] of found.state.placements) {
      equal(key, placement.address);
      deepEqual(readPlacement(JSON.parse(JSON.stringify(placement)), 'placement'), placement);
    }
  });
  fc.assert(property, runs);
});

test('a garbled resolv.conf gives addresses', async (t) => {
  const path = join(folder(t), 'resolv.conf');
  const property = fc.property(
    garbled('nameserver 10.0.0.53\nsearch demo\nnameserver fd00::53\nnameserver fe80::1%eth0\n'),
    (text) => {
      writeFileSync(path, text);
      for (const address of nameservers([path])) equal(parseAddress(address), address);
    },
  );
  fc.assert(property, runs);
});

test('a garbled token or CA ends in credentials or a CredentialError', async (t) => {
  const [tokenFile, caFile] = ['token', 'ca.crt'].map((name) => join(folder(t), name));
  const texts = fc.tuple(
    garbled('token-of-node-1\n'),
    garbled('-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'),
  );
  const property = fc.asyncProperty(texts, async ([token, ca]) => {
    writeFileSync(tokenFile ?? '', token);
    writeFileSync(caFile ?? '', ca);
    const files = { tokenFile, cert: undefined, key: undefined };
    await endsWell(() => readCredentials({ ...files, caFile: undefined }), CredentialError);
    await endsWell(() => readCredentials({ ...files, caFile }), CredentialError);
  });
  await fc.assert(property, runs);
});
