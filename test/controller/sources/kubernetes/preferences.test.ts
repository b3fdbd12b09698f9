// spec.node of a VirtualIP: a value that was set by another counts, and an event older than our own write
// does not.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import {
  Preferences,
  type PreferencesInput,
} from '../../../../src/controller/sources/kubernetes/preferences.ts';
import type { VirtualIpRecord } from '../../../../src/controller/sources/kubernetes/virtual-ip.ts';
import { hello, joined, ruling, servicesOf, settled, term, vip } from '../../ruling.ts';

/** A controller with a VIP on `a` that `b` could have, and the writes about it. */
async function twoNodes() {
  const all = ruling();
  all.controller.publish({ set: servicesOf(1), remove: [] });
  joined(all, hello('a', [{ address: vip, term }]));
  joined(all, hello('b'));
  await settled(all);
  const writes: (() => Promise<void>)[] = [];
  const failed: string[] = [];
  const answers: object[] = [];
  const preferences = new Preferences({
    controller: all.controller,
    client: { json: () => Promise.resolve(answers.shift() ?? {}) } as unknown as PreferencesInput['client'],
    writes: {
      put: (_: string, __: string, write: (signal: AbortSignal) => Promise<void>) =>
        writes.push(() => write(new AbortController().signal)),
    } as unknown as PreferencesInput['writes'],
    mayMove: () => true,
    say: ({ note }) => failed.push(note),
  });
  const said = (node: string | null, generation = 1) => {
    const record: VirtualIpRecord = {
      address: vip,
      uid: 'u',
      generation,
      pool: 'p',
      services: [],
      node,
      status: {},
    };
    preferences.changed({ set: new Map([[vip, record]]), remove: [] });
  };
  const { owners } = all.controller;
  const at = () => [owners.ownerOf(vip)?.node, owners.moves.has(vip)];
  return { preferences, said, at, writes, failed, owners, answers };
}

test('a VIP moves once to the node in spec.node, and an event names an unconnected one', async () => {
  const { said, at, failed } = await twoNodes();
  said(null);
  deepEqual(at(), ['a', false]);
  said('b');
  deepEqual(at(), ['b', true]);
  said('nowhere');
  await Promise.resolve();
  deepEqual(failed, ['spec.node nowhere: not connected; it stays on b']);
});

test('an event from before our own write of spec.node is ignored', async () => {
  const { preferences, said, at, writes, owners } = await twoNodes();
  said('b');
  // During that move another one moves it back.
  owners.moves.cancel(vip, 'test');
  preferences.moved({ address: vip, node: 'a' });
  equal(writes.length, 1);
  said('b');
  await writes[0]?.();
  said('b');
  deepEqual(at(), ['a', false]);
  said('a');
  said('b');
  deepEqual(at(), ['b', true]);
});

test('a spec.node that was set after our own write is followed, even if ours was never seen', async () => {
  const metadata = { name: vip, uid: 'u', generation: 5 };
  const answer = { metadata, spec: { address: vip, pool: 'p', services: [], node: 'a' } };
  // The event is read after the answer, or before it.
  for (const isLate of [false, true]) {
    const { preferences, said, at, writes, answers } = await twoNodes();
    answers.push(answer);
    preferences.moved({ address: vip, node: 'a' });
    if (isLate) said('b', 6);
    await writes[0]?.();
    if (!isLate) {
      said('b', 4);
      deepEqual(at(), ['a', false]);
      said('b', 6);
    }
    deepEqual(at(), ['b', true]);
  }
});
