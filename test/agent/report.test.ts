// What an agent reports of its VIPs.
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../../src/agent/ledger.ts';
import { vipReports } from '../../src/agent/report.ts';
import { port, vip } from '../kernel/own-kernel.ts';

test('a VIP is reported as filtered by its committed rules, or by its wanted ones if it has none', () => {
  const ledger = new Ledger();
  const [closed, open] = [vip('10.77.0.100', [port(80)]), vip('10.77.0.101', [port(80)])];
  ledger.committed.set(closed.address, closed);
  ledger.wanted.set(closed.address, { ...closed, filtered: false });
  ledger.wanted.set(open.address, { ...open, filtered: false });
  const reports = vipReports({ ledger, isUsable: () => true }, new Map(), () => '');
  deepEqual(
    reports.map(({ address, filtered }) => [address, filtered]),
    [
      [closed.address, true],
      [open.address, false],
    ],
  );
});

test('a held VIP is reported as pending until it is usable, and as serving from then on', () => {
  const ledger = new Ledger();
  const web = vip('10.77.0.100', [port(80)]);
  ledger.committed.set(web.address, web);
  ledger.hold({ address: web.address, interfaceIndex: 2 });
  const states = [false, true].map((isSo) => {
    const [report] = vipReports({ ledger, isUsable: () => isSo }, new Map(), () => '');
    return [report?.held, report?.state];
  });
  deepEqual(states, [
    [true, 'pending'],
    [true, 'serving'],
  ]);
});
