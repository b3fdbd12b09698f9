// The poll of all rules and sets, which kernels without nf_tables need: it sees a foreign change of any
// element, and other work of the thread gets its turn meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFirewall } from '../../src/agent/firewall/open-firewall.ts';
import { wholeDiffers } from '../../src/agent/poll.ts';
import type { KernelObject } from '../../src/dialects/dialect.ts';
import type { Kernel } from '../../src/host/kernel.ts';
import { parsePrefix } from '../../src/state/address.ts';
import { needsOf, roomy, stateOf } from '../dialects/arbitraries.ts';
import { ownKernel, port, vip } from './own-kernel.ts';
import { run, skip } from './own-xtables.ts';

const size = 10_000;
const table = Array.from({ length: size }, (_, n) =>
  vip(`10.50.${n >> 8}.${n & 255}`, [port(80), port(443, { delivery: 'host' })]),
);
table.push(
  vip('fd50::1', [port(53, { protocol: 'UDP', sources: ['fd51::/64', 'fd52::1/128'].map(parsePrefix) })]),
);

test('a poll reads only the tables that have rules of ours', { skip }, async () => {
  using own = ownKernel();
  const options = { wish: 'xtables', observe: false, counters: false, echo: true, owner: false } as const;
  const firewall = await openFirewall(own.kernel, options);
  const asked: string[] = [];
  const dump: Kernel['dump'] = (requests) => {
    for (const { door, bytes } of requests)
      if (door === 'xtables') asked.push(`${bytes[0]} ${String.fromCharCode(...bytes.subarray(1))}`);
    return own.kernel.dump(requests);
  };
  await firewall.glance?.constants({ dump } as Kernel);
  assert.deepEqual(asked.sort(), ['4 mangle', '4 raw', '6 mangle', '6 raw']);
});

test(`at ${size} Services a whole poll takes turns with other work and finds every change`, {
  skip,
}, async (t) => {
  using own = ownKernel();
  const options = { wish: 'xtables', observe: false, counters: false, echo: true, owner: false } as const;
  const firewall = await openFirewall(own.kernel, options);
  const needs = needsOf(table, { ...roomy, vips4: 16_384, ports4: 32_768 });
  const want = firewall.dialect.render(stateOf(table, needs));
  let turns = 0;
  /** The turns of other work while these elements were compared. */
  let between = 0;
  function* counted(elements: readonly KernelObject[]): Generator<Iterable<KernelObject>> {
    const before = turns;
    yield elements;
    between = turns - before;
  }
  const rules = { constants: () => want.constants, elements: () => counted(want.elements) };
  await own.kernel.commit(
    firewall.dialect.encode({ remove: [], add: [...want.constants, ...want.elements] }),
  );
  const look = (): Promise<boolean> => wholeDiffers({ kernel: own.kernel, firewall, rules });
  assert.equal(await look(), false);
  const count = (): void => {
    turns++;
    timer = setImmediate(count);
  };
  let timer = setImmediate(count);
  assert.equal(await look(), false);
  clearImmediate(timer);
  t.diagnostic(`${between} turns of others between the ${want.elements.length} elements`);
  assert.ok(between > 2, `${between} turns`);
  for (const [harm, cure] of [
    ['ipset del vipward-host4 10.50.39.15,tcp:443', 'ipset add vipward-host4 10.50.39.15,tcp:443'],
    ['ipset add vipward-allow4 10.50.0.1,tcp:22', 'ipset del vipward-allow4 10.50.0.1,tcp:22'],
    ['ipset del vipward-src6 fd50::1,udp:53,fd52::1', 'ipset add vipward-src6 fd50::1,udp:53,fd52::1'],
    ['ipset add vipward-src6 fd50::1,udp:53,fd51::/63', 'ipset del vipward-src6 fd50::1,udp:53,fd51::/63'],
    ['iptables-legacy -w -t raw -D PREROUTING 1', 'iptables-legacy -w -t raw -I PREROUTING -j vipward-guard'],
  ] as const) {
    run(own, harm);
    assert.equal(await look(), true, harm);
    run(own, cure);
  }
});
