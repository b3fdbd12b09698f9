// What the agent knows of a VIP by what is wanted, placed, refused, committed and held.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../../src/agent/ledger.ts';
import { port, vip } from '../kernel/own-kernel.ts';

const before = vip('10.77.0.100', [port(80)]);
const after = vip('10.77.0.100', [port(443)]);
const key = before.address;

function committed(): Ledger {
  const ledger = new Ledger();
  ledger.committed.set(key, before);
  return ledger;
}

test('the rules of a VIP that is no longer wanted stay until its address is removed', () => {
  const ledger = committed();
  ledger.held.set(key, { address: key, interfaceIndex: 2 });
  equal(ledger.target(key), before);
  ledger.wanted.set(key, after);
  equal(ledger.target(key), after);
  ledger.wanted.delete(key);
  ledger.held.delete(key);
  equal(ledger.target(key), undefined);
});

test('a VIP that is no longer placed here is held under its term until its address is gone', () => {
  const [ledger, term] = [committed(), { generation: 1, n: 7 }];
  ledger.place({ address: key, term }, false);
  equal(ledger.heldBy(key), undefined);
  ledger.hold({ address: key, interfaceIndex: 2 });
  ledger.unplace(key);
  for (const step of [() => {}, () => ledger.letGo(key)]) {
    step();
    deepEqual([ledger.heldBy(key), [...ledger.carried()]], [term, [key]]);
  }
  ledger.gone(key);
  deepEqual([ledger.heldBy(key), [...ledger.carried()]], [undefined, []]);
  // The same holds for an address that is let go while it is placed here.
  ledger.place({ address: key, term }, false);
  ledger.hold({ address: key, interfaceIndex: 2 });
  ledger.letGo(key);
  deepEqual([ledger.heldBy(key), [...ledger.carried()]], [term, [key]]);
});

test('a forbidden VIP keeps its rules until its address is removed', () => {
  const ledger = committed();
  ledger.held.set(key, { address: key, interfaceIndex: 2 });
  ledger.refuse({ table: 'rules', key, services: [], code: 'Forbidden', reason: 'outside --allow' });
  equal(ledger.target(key), before);
  ledger.held.delete(key);
  equal(ledger.target(key), undefined);
});

test('a refused VIP keeps its committed rules until it is accepted, even if the kernel loses them', () => {
  const ledger = committed();
  ledger.wanted.set(key, after);
  ledger.refuse({ table: 'rules', key, services: [], code: 'KernelRefused', reason: 'ENFILE' });
  equal(ledger.target(key), before);
  ledger.lose(key);
  equal(ledger.committed.has(key), false);
  equal(ledger.target(key), before);
  ledger.accept('rules', key);
  equal(ledger.target(key), after);
});

const refusal = { table: 'rules', key, services: [], code: 'KernelRefused', reason: 'ENFILE' } as const;

test('lost rules come back only if the VIP was refused when they went, and until it is retried', () => {
  const ledger = committed();
  ledger.refuse({ ...refusal });
  ledger.lose(key);
  ledger.retry('placements', key);
  equal(ledger.target(key), before);
  ledger.retry('rules', key);
  ledger.refuse({ ...refusal });
  equal(ledger.target(key), undefined);
  const other = committed();
  other.lose(key);
  other.refuse({ ...refusal });
  equal(other.target(key), undefined);
});

test('a refusal is new once for each reason, and is taken back once', () => {
  for (const table of ['rules', 'placements'] as const) {
    const ledger = new Ledger();
    deepEqual([ledger.accept(table, key), ledger.hasRefusals(table)], [false, false]);
    const reasons = ['ENFILE', 'ENFILE', 'ENOMEM'];
    deepEqual(
      reasons.map((reason) => ledger.refuse({ ...refusal, table, reason })),
      [true, false, true],
    );
    const last = { ...refusal, table, reason: 'ENOMEM' };
    deepEqual([ledger.refusals, ledger.refusal(table, key), ledger.hasRefusals(table)], [[last], last, true]);
    ledger.retry(table, key);
    deepEqual([ledger.refusals, ledger.hasRefusals(table)], [[], false]);
    deepEqual([ledger.accept(table, key), ledger.accept(table, key)], [true, false]);
  }
});

test('a VIP is in force only with its wanted rules, and committed with its last good ones too', () => {
  const ledger = committed();
  const states = () => [ledger.isCommitted(key), ledger.isInForce(key)];
  deepEqual(states(), [false, false]);
  ledger.wanted.set(key, after);
  deepEqual(states(), [false, false]);
  ledger.refuse({ ...refusal });
  deepEqual(states(), [true, false]);
  ledger.accept('rules', key);
  ledger.committed.set(key, after);
  deepEqual(states(), [true, true]);
  ledger.wanted.delete(key);
  ledger.committed.delete(key);
  deepEqual(states(), [true, false]);
});

test('an address may be held if it is wanted and placed here, and taken only with its wanted rules', () => {
  const ledger = new Ledger();
  const states = () => [ledger.isPlaced(key), ledger.shouldHold(key), ledger.mayHold(key)];
  ledger.committed.set(key, before);
  deepEqual(states(), [false, false, false]);
  ledger.wanted.set(key, after);
  deepEqual(states(), [false, false, false]);
  ledger.place({ address: key, term: { generation: 1, n: 7 } }, false);
  deepEqual(states(), [true, true, false]);
  ledger.hold({ address: key, interfaceIndex: 2 });
  deepEqual(states(), [true, true, true]);
  ledger.gone(key);
  ledger.committed.set(key, after);
  deepEqual(states(), [true, true, true]);
  ledger.wanted.delete(key);
  deepEqual(states(), [false, false, false]);
  ledger.wanted.set(key, after);
  ledger.committed.delete(key);
  deepEqual(states(), [true, false, false]);
  ledger.committed.set(key, after);
  ledger.unplace(key);
  deepEqual(states(), [false, false, false]);
});

test('a first claim stays one until it is held, or placed under another term, or no more', () => {
  const placed = (n: number) => ({ address: key, term: { generation: 1, n } });
  const claimed = (): Ledger => {
    const ledger = new Ledger();
    ledger.place(placed(7), true);
    return ledger;
  };
  const first = (ledger: Ledger) => [...ledger.firstClaims];
  const ledger = claimed();
  ledger.place(placed(7), false);
  deepEqual(first(ledger), [key]);
  for (const n of [6, 8]) {
    const other = claimed();
    other.place(placed(n), false);
    deepEqual(first(other), []);
  }
  ledger.hold({ address: key, interfaceIndex: 2 });
  deepEqual(first(ledger), []);
  ledger.place(placed(8), true);
  deepEqual(first(ledger), []);
  const gone = claimed();
  gone.unplace(key);
  deepEqual([first(gone), gone.placed.size], [[], 0]);
});

test('a set of first claims replaces the former one, for VIPs that are placed here and not held', () => {
  const [held, absent] = [vip('10.77.0.101', []).address, vip('10.77.0.102', []).address];
  const ledger = new Ledger();
  for (const address of [key, held]) ledger.place({ address, term: { generation: 1, n: 7 } }, false);
  ledger.hold({ address: held, interfaceIndex: 2 });
  const all = new Set([key, held, absent]);
  deepEqual([ledger.claimFirst(all), [...ledger.firstClaims]], [[], [key]]);
  deepEqual([ledger.claimFirst(all), [...ledger.firstClaims]], [[], [key]]);
  deepEqual([ledger.claimFirst(new Set()), [...ledger.firstClaims]], [[key], []]);
});

test('an address leaves only if it was held, and not under the term before its next placement', () => {
  const [ledger, place] = [new Ledger(), { address: key, term: { generation: 1, n: 7 } }];
  const states = () => [ledger.held.has(key), ledger.heldBy(key), [...ledger.carried()]];
  ledger.place(place, false);
  ledger.unplace(key);
  deepEqual(states(), [false, undefined, []]);
  ledger.hold({ address: key, interfaceIndex: 2 });
  ledger.letGo(key);
  deepEqual(states(), [false, undefined, []]);
  ledger.place(place, false);
  ledger.hold({ address: key, interfaceIndex: 2 });
  ledger.letGo(key);
  deepEqual(states(), [false, place.term, [key]]);
  ledger.place({ address: key, term: { generation: 1, n: 8 } }, false);
  deepEqual(states(), [false, undefined, []]);
  ledger.hold({ address: key, interfaceIndex: 2 });
  ledger.gone(key);
  deepEqual(states(), [false, undefined, []]);
});
