// The log lines for VIPs that a node takes, lets go of and refuses.
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../../src/agent/ledger.ts';
import { Reporter, type ReporterParts } from '../../src/agent/reporter.ts';
import { Tallies } from '../../src/agent/tallies.ts';
import type { RefusalCode } from '../../src/protocol/messages.ts';
import type { Address } from '../../src/state/address.ts';
import { logLines } from '../log-lines.ts';

const address = '10.77.0.100' as Address;
const second = '10.77.0.101' as Address;

function reporting(level: 'debug' | 'info') {
  const { log, lines } = logLines(level);
  const ledger = new Ledger();
  const tallies = new Tallies();
  const reporter = new Reporter({ ledger, log, tallies, isUsable: () => true } as unknown as ReporterParts);
  const hold = (key: Address) => {
    ledger.hold({ address: key, interfaceIndex: 2 });
    reporter.held([key]);
  };
  const said = () => lines.map(({ event, address: of, key }) => `${event} ${of ?? key}`);
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

test('a VIP outside --allow is logged as refused once it is placed here, before only at level debug', () => {
  for (const level of ['info', 'debug'] as const) {
    const { ledger, reporter, said } = reporting(level);
    const refuse = (key: Address, code: RefusalCode, reason: string) =>
      reporter.refuse({ table: 'rules', key, services: [], code, reason });
    refuse(address, 'Forbidden', 'outside');
    deepEqual(said(), level === 'info' ? [] : [`refused ${address}`]);
    ledger.place({ address, term: { generation: 1, n: 1 } }, false);
    refuse(address, 'Forbidden', 'outside now');
    refuse(second, 'KernelRefused', 'full');
    deepEqual(said().slice(-2), [`refused ${address}`, `refused ${second}`]);
  }
});
