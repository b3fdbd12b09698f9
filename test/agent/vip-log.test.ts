// The log lines for VIPs that a node takes and lets go of, at level debug.
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../../src/agent/ledger.ts';
import { Reporter, type ReporterParts } from '../../src/agent/reporter.ts';
import type { Address } from '../../src/state/address.ts';
import { logLines } from '../log-lines.ts';

const address = '10.77.0.100' as Address;
const second = '10.77.0.101' as Address;

function reporting(level: 'debug' | 'info') {
  const { log, lines } = logLines(level);
  const ledger = new Ledger();
  const reporter = new Reporter({ ledger, log, isUsable: () => true } as unknown as ReporterParts);
  const hold = (key: Address) => {
    ledger.hold({ address: key, interfaceIndex: 2 });
    reporter.held([key]);
  };
  const said = () => lines.map(({ event, address: of }) => `${event} ${of}`);
  return { log, ledger, reporter, hold, said };
}

test('taking and letting go of a VIP is one log line each, however often it is reported', () => {
  const { ledger, reporter, hold, said } = reporting('debug');
  for (let times = 0; times < 2; times++) hold(address);
  hold(second);
  ledger.gone(address);
  for (let times = 0; times < 2; times++) reporter.held([address, second]);
  deepEqual(said(), [`vipTaken ${address}`, `vipTaken ${second}`, `vipLetGo ${address}`]);
});

test('a VIP that was held before the level became debug is not logged as taken', () => {
  const { log, ledger, reporter, hold, said } = reporting('info');
  hold(address);
  log.level = 'debug';
  reporter.held([address]);
  deepEqual(said(), []);
  ledger.gone(address);
  reporter.held([address]);
  deepEqual(said(), [`vipLetGo ${address}`]);
});
