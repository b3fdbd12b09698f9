// Nodes that left and may never come back: which of them the controller forgets, and when.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { keptForMs, mostAbsent } from '../../../src/controller/owners/absent-nodes.ts';
import { hello, joined, type Ruling, type RulingSetup, ruling, servicesOf, term, vip } from '../ruling.ts';

function published(setup: RulingSetup = {}): Ruling {
  const made = ruling(setup);
  made.controller.publish({ set: servicesOf(1), remove: [] });
  return made;
}

const names = ({ controller }: Ruling): string[] => [...controller.nodes.all()].map(({ name }) => name);

test('a node is forgotten after a day away, unless it has VIPs or is drained or came back', () => {
  let nowMs = 0;
  const one = published({ nowMs: () => nowMs });
  const all = ['a', 'idle', 'drained', 'back'];
  const held = [{ address: vip, term }];
  const sessions = all.map((name) => joined(one, hello(name, name === 'a' ? held : [])));
  one.controller.setDrained('drained', true);
  for (const session of sessions) one.sessions.close(session);
  nowMs = keptForMs - 1;
  one.sessions.tick();
  deepEqual(names(one), all);
  const back = joined(one, hello('back'));
  nowMs = keptForMs;
  one.sessions.tick();
  deepEqual(names(one), ['a', 'drained', 'back']);
  one.sessions.close(back);
  one.controller.setDrained('drained', false);
  one.sessions.tick();
  deepEqual(names(one), ['a', 'back']);
});

test('a drained node of the records is forgotten a day after the start, once it is undrained', () => {
  let nowMs = 0;
  const one = published({ nowMs: () => nowMs, drained: ['gone', 'stays'] });
  one.controller.setDrained('gone', false);
  nowMs = keptForMs - 1;
  one.sessions.tick();
  deepEqual(names(one), ['gone', 'stays', 'a']);
  nowMs = keptForMs;
  one.sessions.tick();
  deepEqual(names(one), ['stays', 'a']);
});

test('of very many nodes that are away those that left last are kept', () => {
  const one = published();
  const made = Array.from({ length: mostAbsent + 2 }, (_, index) => `made-up-${index}`);
  for (const name of made) one.sessions.close(joined(one, hello(name)));
  one.sessions.tick();
  deepEqual(names(one), ['a', ...made.slice(2)]);
  equal(one.controller.nodes.get('made-up-0'), undefined);
});

test('nodes that have to stay push no other out', () => {
  const drained = Array.from({ length: mostAbsent }, (_, index) => `drained-${index}`);
  const one = published({ drained });
  const made = Array.from({ length: mostAbsent + 2 }, (_, index) => `made-up-${index}`);
  for (const name of made) one.sessions.close(joined(one, hello(name)));
  one.sessions.tick();
  deepEqual(names(one), [...drained, 'a', ...made.slice(2)]);
});

test('nothing is kept of the stream of a name that is no node, as a standby hears it', () => {
  const { controller } = ruling();
  const { closedConnections } = controller;
  for (const name of ['a', 'made-up']) closedConnections.ended(name, { node: name, code: 1000, reason: '' });
  deepEqual(
    ['a', 'made-up'].map((name) => closedConnections.lastOf(name)?.code),
    [1000, undefined],
  );
});
