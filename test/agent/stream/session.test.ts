// Which stream the agent obeys, and what it does with each frame: a session without sockets and kernel.
import { deepEqual, equal, match, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { Allowed } from '../../../src/agent/addresses/allowed.ts';
import type { Change } from '../../../src/agent/stream/received-table.ts';
import { Session, type SessionParts } from '../../../src/agent/stream/session.ts';
import type { Stream } from '../../../src/agent/stream/stream.ts';
import { sha256 } from '../../../src/controller/stream/table.ts';
import { Digests } from '../../../src/protocol/digest.ts';
import type { Page, TableName } from '../../../src/protocol/messages.ts';
import type { Address } from '../../../src/state/address.ts';

const address = '10.77.0.100' as Address;
const rule = { address, filtered: true, egress: false, ports: [] };
const placement = (generation: number, n = 1) => ({ address, term: { generation, n } });
const welcome = (more: object = {}) =>
  ({
    type: 'welcome',
    version: '0',
    features: [],
    cluster: 'c',
    generation: 4,
    ruling: true,
    ...more,
  }) as const;
const synced = (table: TableName, seq = 7) =>
  ({ type: 'synced', table, seq, count: 0, digest: '1d05a1711752d58c' }) as const;
const delta = (from: number, more: object = {}) =>
  ({ type: 'delta', table: 'placements', from, to: from + 1, set: [], remove: [], ...more }) as const;

/** A session, and everything that it said and did, in words. */
function room() {
  const done: string[] = [];
  let ways = ['10.0.0.0/24'];
  const entry = ({ table, set, first, isWhole }: Omit<Change, 'seq' | 'quiet' | 'receivedAtMs' | 'remove'>) =>
    `${isWhole ? 'whole ' : ''}${table} +${set.length}${first.length > 0 ? ` first ${first}` : ''}`;
  const parts = {
    ...{ node: 'n1', version: '0', firewall: 'nftables', allow: new Allowed([]), now: () => 0 },
    hash: sha256,
    links: () => ({ onLink: [], macs: [] }),
    ways: () => ways,
    held: () => [],
    loop: {
      receive: (change: Change) => done.push(`receives ${entry(change)} at ${change.seq}`),
      enter: (change: Change) => done.push(`enters ${entry(change)}`),
      synced: () => done.push('synced'),
    } as never,
    prepare: () => done.push('prepares'),
    onIdentity: (cluster, generation) => done.push(`is of ${cluster} ${generation}`),
    onRuler: (features) => done.push(`ruler with ${features}`),
    onChange: ({ table }) => done.push(`changes ${table}`),
  } satisfies SessionParts;
  const session = new Session(parts, { cluster: null, generation: 0 });
  session.hello();
  const streamOf = (url: string): Stream => ({
    ...{ url, state: 'open', reason: '' },
    send: (message) =>
      done.push(`to ${url}: ${message.type}${'table' in message ? ` ${message.table}` : ''}`),
    refuse: (reason, isForGood) =>
      done.push(`refuses ${url}${isForGood === true ? ' for good' : ''}: ${reason}`),
  });
  const [one, two] = [streamOf('one'), streamOf('two')];
  const took = (): string[] => done.splice(0);
  const hears = (...frames: readonly Parameters<Session['onMessage']>[1][]): string[] => {
    for (const frame of frames) session.onMessage(one, frame);
    return took();
  };
  const movesTo = (...to: readonly string[]): void => {
    ways = [...to];
  };
  return { session, one, two, took, hears, movesTo };
}

/** Obeys a stream whose tables are whole and empty. */
function obeying() {
  const all = room();
  all.hears(welcome(), synced('rules'), synced('placements'));
  return all;
}

test('a new ruler is told of first, and both whole tables pin its cluster', () => {
  const { hears, session } = room();
  deepEqual([session.ruled, session.problems], [false, []]);
  deepEqual(hears(welcome({ features: ['f'] })), ['is of null 4', 'ruler with f']);
  deepEqual([session.ruled, session.cluster], [true, null]);
  deepEqual(hears(synced('rules')), ['changes rules', 'receives whole rules +0 at 7']);
  const whole = ['changes placements', 'receives whole placements +0 at 7'];
  deepEqual(hears(synced('placements')), [...whole, 'is of c 4', 'synced']);
  deepEqual(hears(synced('placements')), [...whole, 'synced']);
  deepEqual([session.cluster, session.hello().generation, session.hello().cluster], ['c', 4, 'c']);
});

test('a welcome that answers the hello of a promotion changes nothing that was received', () => {
  const { hears, took, session, one } = obeying();
  deepEqual(hears(welcome()), []);
  deepEqual(hears(delta(7)), ['prepares', 'changes placements', 'receives placements +0 at 8']);
  session.send({ type: 'ack', table: 'placements', seq: 8, commitUs: 1 });
  deepEqual(took(), ['to one: ack placements']);
  // Of another generation it is a new ruler, whose numbers are its own.
  deepEqual(hears(welcome({ generation: 5 }), delta(8)), [
    ...['is of c 5', 'ruler with ', 'prepares', 'to one: resync placements'],
  ]);
  session.send({ type: 'ack', table: 'placements', seq: 8, commitUs: 1 });
  session.send({ type: 'held', vips: [] });
  deepEqual(took(), ['to one: held']);
  session.onMessage(one, { type: 'tick' });
  deepEqual(took(), []);
});

test('a standby that begins to rule is sent one more hello', () => {
  const { hears, took, session, two } = room();
  deepEqual(hears(welcome({ ruling: false })), []);
  deepEqual([session.ruled, hears(synced('rules'))], [false, []]);
  session.send({ type: 'held', vips: [] });
  deepEqual(took(), []);
  deepEqual(hears(welcome()), ['is of null 4', 'to one: hello', 'ruler with ']);
  session.onMessage(two, welcome({ generation: 5 }));
  deepEqual(took(), ['is of null 5', 'ruler with ']);
});

test('frames of a stream that is not obeyed are ignored', () => {
  const { session, took, two } = obeying();
  session.onMessage(two, welcome({ generation: 3 }));
  deepEqual(took(), ['refuses two: generation: 3 is older than 4, which this node has obeyed']);
  session.onMessage(two, delta(7));
  session.onMessage(two, synced('rules', 9));
  session.onMessage(two, welcome({ generation: 9, cluster: 'd' }));
  match(took().join('\n'), /^refuses two for good: cluster: this node belongs to c, the controller to d; /);
  session.onClose(two);
  deepEqual([took(), session.ruled], [[], true]);
});

test('when the ruler is gone VIPs are first claims, and others that rule hear of its generation', () => {
  const { session, hears, took, one, two } = obeying();
  hears(delta(7, { set: [placement(4)] }));
  session.onMessage(two, welcome());
  deepEqual(took(), ['ruler with ']);
  session.onClose(one);
  deepEqual([took(), session.ruled], [[], true]);
  session.onMessage(one, welcome({ ruling: false }));
  session.onClose(two);
  deepEqual([took(), session.ruled], [[`enters whole placements +0 first ${address}`], false]);
  session.onMessage(one, welcome({ generation: 3 }));
  session.onMessage(two, welcome());
  took();
  session.onClose(two);
  deepEqual(took(), [
    `enters whole placements +0 first ${address}`,
    'refuses one: the controller that the agent obeyed is gone: reconnecting',
  ]);
});

test('after a missed frame deltas of the table are ignored until it is whole again', () => {
  const { session, hears } = obeying();
  deepEqual(hears(delta(9)), ['prepares', 'to one: resync placements']);
  match(
    session.problems.join('\n'),
    /^placements: a frame was lost or the digest differs; the agent asks again/,
  );
  deepEqual(hears(delta(7)), ['prepares']);
  deepEqual(hears(delta(7, { table: 'rules' })), ['prepares', 'changes rules', 'receives rules +0 at 8']);
  const page = { type: 'page', table: 'placements', buckets: [96], set: [placement(4)] } as const;
  const one = { count: 1, digest: '0'.repeat(16) };
  deepEqual(hears(page, { ...synced('placements'), ...one }), ['to one: resync placements']);
  deepEqual(hears(synced('placements', 8)).slice(1), ['receives whole placements +0 at 8', 'synced']);
  deepEqual(session.problems, []);
  deepEqual(hears(delta(8)).length, 3);
});

test('three resyncs in a row are the most, and a table that is whole counts anew', () => {
  const { hears } = obeying();
  const wrong = { ...synced('rules'), count: 1 };
  const asked = 'to one: resync rules';
  const refused = 'refuses one: rules: the resources sent do not match their digest';
  deepEqual(hears(wrong, wrong, wrong), [asked, asked, asked]);
  hears(synced('rules'));
  deepEqual(hears(wrong, wrong, wrong, wrong), [asked, asked, asked, refused]);
});

test('pages are of one table each, and are in force once that is whole', () => {
  const { session, hears } = obeying();
  const whole = (table: TableName, resource: typeof rule | ReturnType<typeof placement>) => {
    const digests = new Digests(sha256);
    digests.set(resource);
    return { ...synced(table, 8), count: 1, digest: digests.total() };
  };
  const page = { type: 'page', buckets: [96] } as const;
  deepEqual(hears({ ...page, table: 'rules', set: [rule] }), []);
  deepEqual(hears({ ...page, table: 'placements', set: [placement(4)] }), []);
  deepEqual(hears(whole('placements', placement(4)))[1], 'receives whole placements +1 at 8');
  deepEqual(hears(whole('rules', rule))[1], 'receives whole rules +1 at 8');
  deepEqual(
    [session.rules.resources.get(address), session.placements.resources.get(address)],
    [rule, placement(4)],
  );
});

test('pages that came before a new ruler, or before a resync, are dropped', () => {
  const { session, hears, took, two } = obeying();
  for (const table of ['rules', 'placements'] as const) {
    const page = {
      type: 'page',
      table,
      buckets: [96],
      set: [table === 'rules' ? rule : placement(4)],
    } as const;
    hears(page as Page<'rules'>, delta(9, { table }));
    deepEqual(hears(synced(table))[1], `receives whole ${table} +0 at 7`);
    hears(page as Page<'rules'>);
  }
  session.onMessage(two, welcome({ generation: 5 }));
  took();
  for (const table of ['rules', 'placements'] as const) {
    session.onMessage(two, synced(table));
    deepEqual(took()[1], `receives whole ${table} +0 at 7`);
  }
});

test('placements of a later generation than that of their controller are refused', () => {
  const { hears } = obeying();
  const page = { type: 'page', table: 'placements', buckets: [], set: [placement(5)] } as const;
  for (const frame of [page, delta(7, { set: [placement(5)] })])
    throws(() => hears(frame), { message: /^set\[0\]\.term\.generation: ImpossibleTerm/ });
  deepEqual(hears({ ...page, set: [placement(4)] }), ['prepares']);
});

test('a node with new prefixes or MACs says hello again, to every controller', () => {
  const { session, hears, took, two, movesTo } = room();
  hears(welcome());
  session.onMessage(two, welcome({ ruling: false }));
  took();
  const why = 'the prefixes or MACs of the node have changed: reconnecting';
  movesTo('10.0.0.0/24', '10.0.1.0/24');
  session.reintroduce();
  deepEqual(took(), [`refuses one: ${why}`, `refuses two: ${why}`]);
  session.onClose(two);
  session.hello();
  session.reintroduce();
  deepEqual(took(), []);
  movesTo('10.0.2.0/24');
  deepEqual(hears(welcome()), [`refuses one: ${why}`]);
  equal(session.ruled, true);
});
