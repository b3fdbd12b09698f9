// Parsing the words and files of a verb ends in a value or in a UsageError, whatever they are.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse, stringify } from 'yaml';
import { parseOrigins } from '../../src/cli/client.ts';
import { readToken } from '../../src/cli/credentials.ts';
import { parseTarget } from '../../src/cli/explain.ts';
import { defaultValues } from '../../src/cli/manifests/chart.ts';
import { runManifests } from '../../src/cli/manifests.ts';
import { UsageError } from '../../src/process/usage.ts';
import { parseDuration, parseHostPort } from '../../src/process/values.ts';
import { folder } from '../controller/fixture.ts';
import { changed, endsWell, garbled } from '../hostile-values.ts';

const runs = { numRuns: 1000 };
const fewer = { numRuns: 150 };
const out = { write: () => true };

for (const [what, texts, read] of [
  ['destination of a packet', ['10.0.0.10:53/udp', '[fd00::10]:80'], parseTarget],
  ['list of URLs', ['http://10.0.0.1:9470,wss://b', 'https://[fd00::1]:9470'], parseOrigins],
  ['duration', ['1.5s', '250ms', '2h'], parseDuration],
  ['HOST:PORT', ['10.0.0.1:9470', '[fd00::1]:9470', ':9470'], parseHostPort],
] as const)
  test(`a garbled ${what} ends in a value or a UsageError`, async () => {
    const property = fc.asyncProperty(garbled(...texts), (text) =>
      endsWell(() => read(text, '--flag'), UsageError),
    );
    await fc.assert(property, runs);
  });

test('a garbled token file of an operator ends in a token or a UsageError', async (t) => {
  const path = join(folder(t), 'token');
  const property = fc.asyncProperty(garbled('n1 secret-1\noperator secret-0\n', 'secret-0\n'), (text) => {
    writeFileSync(path, text);
    return endsWell(() => readToken({ path, where: '--token-file' }), UsageError);
  });
  await fc.assert(property, runs);
});

test('any --set of manifests ends in manifests or a UsageError', async () => {
  const sets = ['pools.lan={10.0.0.1-10.0.0.9}', 'allow={10.0.0.0/24,fd00::/64}', 'controller.replicas=2'];
  const words = fc.array(garbled(...sets, 'agent.extraArgs={--echo,off}', 'agent.tolerations=null'), {
    maxLength: 3,
  });
  const property = fc.asyncProperty(words, (more) =>
    endsWell(() => runManifests('all', { set: [...sets, ...more] }, { out }), UsageError),
  );
  await fc.assert(property, fewer);
});

test('changed values of the chart end in manifests or a UsageError', async (t) => {
  const path = join(folder(t), 'values.yaml');
  const values = { ...defaultValues(), pools: { lan: ['10.0.0.1-10.0.0.9'] }, allow: ['10.0.0.0/24'] };
  const text = fc.oneof(
    changed(parse(stringify(values))).map((value) => stringify(value)),
    garbled(stringify(values)),
  );
  const property = fc.asyncProperty(text, (content) => {
    writeFileSync(path, content);
    return endsWell(() => runManifests('all', { values: [path], output: 'json' }, { out }), UsageError);
  });
  await fc.assert(property, fewer);
});
