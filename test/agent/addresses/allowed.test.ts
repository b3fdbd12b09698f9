// A long --allow is shortened in refusals, and one with too many prefixes is refused at the start.

import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { Allowed } from '../../../src/agent/addresses/allowed.ts';
import { agentConfig, agentOptions } from '../../../src/agent/config.ts';
import { Ledger } from '../../../src/agent/ledger.ts';
import { Admission } from '../../../src/agent/stream/admission.ts';
import { readOptions } from '../../../src/process/options.ts';
import { UsageError } from '../../../src/process/usage.ts';
import { type Prefix, parseAddress } from '../../../src/state/address.ts';

const outside = { address: parseAddress('192.0.2.1'), filtered: true, egress: false, ports: [] };

const prefixes = (count: number): Prefix[] => {
  return Array.from({ length: count }, (_, index) => `10.${index >> 8}.${index & 255}.0/24` as Prefix);
};

function reasonOf(allow: readonly Prefix[]): string {
  const reasons: string[] = [];
  const admission = new Admission({
    ledger: new Ledger(),
    allow: new Allowed(allow),
    network: { ownAddress: () => undefined, strangers: () => new Map() },
    onRefused: ({ reason }) => void reasons.push(reason),
    accept: () => undefined,
    onUnplaced: () => undefined,
  });
  admission.enter({ table: 'rules', set: [outside], remove: [], first: [], isWhole: false });
  equal(reasons.length, 1);
  return reasons[0] ?? '';
}

test('a refusal names five prefixes of --allow, and how many more there are', () => {
  const five = '10.0.0.0/24,10.0.1.0/24,10.0.2.0/24,10.0.3.0/24,10.0.4.0/24';
  deepEqual(
    [prefixes(5), prefixes(6), prefixes(1000)].map(reasonOf),
    [five, `${five} and 1 more`, `${five} and 995 more`].map(
      (words) => `192.0.2.1 is outside --allow ${words}; add its prefix there`,
    ),
  );
});

test('more than 1,000 prefixes in --allow are wrong usage', async () => {
  const configOf = async (count: number) => {
    const words = ['--node', 'n1', '--controller', 'ws://127.0.0.1:9470'];
    const argv = [...words, '--allow', prefixes(count).join()];
    return agentConfig((await readOptions(agentOptions, { argv, env: {} })).values);
  };
  equal((await configOf(1000)).allow.length, 1000);
  await rejects(configOf(1001), (error) => {
    const words = '--allow: expected at most 1000 prefixes, got 1001; give shorter prefixes that hold them';
    return error instanceof UsageError && error.message === words;
  });
});
