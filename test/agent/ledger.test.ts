// What the kernel should hold of a VIP, by what is wanted, refused and held.
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

test('rules that nobody wants any more stay until their address is let go', () => {
  const ledger = committed();
  ledger.held.set(key, { address: key, interfaceIndex: 2 });
  equal(ledger.target(key), before);
  ledger.wanted.set(key, after);
  equal(ledger.target(key), after);
  ledger.wanted.delete(key);
  ledger.held.delete(key);
  equal(ledger.target(key), undefined);
});

test('an address that is placed here no more is held by its term until it is gone', () => {
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
  // So it is where it is let go though it is placed here.
  ledger.place({ address: key, term }, false);
  ledger.hold({ address: key, interfaceIndex: 2 });
  ledger.letGo(key);
  deepEqual([ledger.heldBy(key), [...ledger.carried()]], [term, [key]]);
});

test('a VIP that may not be here keeps its rules until its address is let go', () => {
  const ledger = committed();
  ledger.held.set(key, { address: key, interfaceIndex: 2 });
  ledger.refuse({ table: 'rules', key, services: [], code: 'Forbidden', reason: 'outside --allow' });
  equal(ledger.target(key), before);
  ledger.held.delete(key);
  equal(ledger.target(key), undefined);
});

test('a refused VIP keeps its last good state until it is accepted, though the kernel lose it', () => {
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
