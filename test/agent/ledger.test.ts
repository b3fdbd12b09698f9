// The rules that the kernel should have of a VIP, by what is wanted, refused and held.
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
