// When a finding about a first claim no longer counts.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import type { Network } from '../../../src/agent/addresses/network.ts';
import { Places } from '../../../src/agent/addresses/places.ts';
import { Ledger } from '../../../src/agent/ledger.ts';
import { address, held, link, Room } from './prober-room.ts';

function placing() {
  const room = new Room([]);
  const ledger = new Ledger();
  const network = { conflict: () => undefined, interfaceFor: () => room.link, strangers: () => new Map() };
  const places = new Places({
    ledger,
    network: network as Partial<Network> as Network,
    prober: room.prober,
    refuse: () => undefined,
  });
  ledger.place({ address, term: { generation: 1, n: 1 } }, true);
  equal(places.placeFor(address), undefined);
  return { room, ledger, places };
}

test('a finding is dropped when the VIP is a first claim no more', async () => {
  const { room, ledger, places } = placing();
  using _ = room;
  await room.found();
  // The controller is back, and some node has had the VIP.
  ledger.claimFirst(new Set());
  deepEqual(places.placeFor(address), held);
  // The node loses the VIP, and its controller.
  ledger.claimFirst(new Set([address]));
  equal(places.placeFor(address), undefined);
});

test('a VIP that is a first claim no more is not asked for, with carrier or without', () => {
  for (const carrier of [true, false]) {
    const { room, ledger, places } = placing();
    using _ = room;
    room.link = { ...link, carrier };
    ledger.claimFirst(new Set());
    deepEqual(places.placeFor(address), carrier ? held : undefined);
    // No inquiry is under way, since another one sends a probe.
    room.link = link;
    const { sent } = room;
    equal(room.prober.find(held), 'asking');
    equal(room.sent, sent + 1);
  }
});
