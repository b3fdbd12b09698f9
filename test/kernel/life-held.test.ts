// What a real agent reports about its held VIPs, to controllers with the feature held-delta and to others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HeldVip } from '../../src/protocol/messages.ts';
import { digestOf, FakeController, type Stream } from '../agent/fake-controller.ts';
import { untilTrue } from '../patience.ts';
import { Node, type Service, skip } from './node.ts';

const services: readonly Service[] = [
  { name: 'web', addresses: ['10.77.0.100', 'fd77::100'], ports: ['TCP 80'] },
  { name: 'dns', addresses: ['10.77.0.101'], ports: ['UDP 53'] },
];

/** Waits for the acknowledgement of placements, and returns what was said of held VIPs until then. */
async function heldUntilAck(stream: Stream, seq: number): Promise<object[]> {
  const isAck = (message: Stream['heard'][number]) =>
    message.type === 'ack' && message.table === 'placements' && message.seq === seq;
  await untilTrue(() => stream.heard.some(isAck));
  const until = stream.heard.findIndex(isAck);
  return stream.heard.splice(0, until + 1).filter(({ type }) => type === 'held' || type === 'heldDelta');
}

for (const features of [['held-delta'], []]) {
  const form = features.length > 0 ? 'as a heldDelta' : 'as a whole list';
  test(`the agent reports changed terms and released VIPs ${form} before the ack`, { skip }, async () => {
    await using node = await Node.start({ services: [...services] });
    using controller = await FakeController.instead(node);
    const stream = await controller.next();
    const [one, two, three] = stream.hello.held;
    assert.ok(one !== undefined && two !== undefined && three !== undefined);
    stream.welcome({ features });
    stream.synced('rules');
    stream.synced('placements');
    const whole = (...vips: object[]) => ({ type: 'held', vips });
    const isShort = features.length > 0;
    // The agent may have read the kernel since hello; it then reports the whole list once more.
    const first = await heldUntilAck(stream, 7);
    for (const said of first) assert.deepEqual(said, whole(one, two, three));
    const later = (vip: HeldVip) => ({ ...vip, term: { ...vip.term, n: vip.term.n + 50 } });
    const delta = { type: 'delta', table: 'placements', set: [], remove: [] };
    stream.say({ ...delta, from: 7, to: 8, set: [later(one)] });
    const ofFirst = { type: 'heldDelta', set: [later(one)], remove: [] };
    assert.deepEqual(await heldUntilAck(stream, 8), [
      isShort && first.length > 0 ? ofFirst : whole(later(one), two, three),
    ]);
    stream.say({ ...delta, from: 8, to: 9, set: [later(two)] });
    const ofTerm = { type: 'heldDelta', set: [later(two)], remove: [] };
    assert.deepEqual(await heldUntilAck(stream, 9), [
      isShort ? ofTerm : whole(later(one), later(two), three),
    ]);
    stream.say({ ...delta, from: 9, to: 10, remove: [one.address] });
    const ofEnd = { type: 'heldDelta', set: [], remove: [one.address] };
    assert.deepEqual(await heldUntilAck(stream, 10), [isShort ? ofEnd : whole(later(two), three)]);
  });
}

test('an agent that restarts reports a VIP without a placement as held until it has removed it', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [...services] });
  await node.killAgent('SIGKILL');
  using controller = await FakeController.instead(node);
  node.startAgent();
  const stream = await controller.next();
  const { held } = stream.hello;
  assert.equal(held.length, 3);
  stream.welcome();
  // No VIP is placed here any more, and no rules have been sent yet.
  const buckets = Object.keys(stream.hello.placements.digests).map(Number);
  stream.say({ type: 'page', table: 'placements', buckets, set: [] });
  stream.synced('placements', { count: 0, digest: digestOf({}) });
  await node.until('the agent knows the placements', async () => {
    const { vips } = await node.status();
    return vips.length === 3 && vips.every((vip) => vip.held && vip.term === null);
  });
  assert.deepEqual(
    stream.heard.filter(({ type }) => type === 'ack' || type === 'heldDelta'),
    [],
  );
  for (const said of stream.heard) if (said.type === 'held') assert.deepEqual(said.vips, held);
  const next = controller.next();
  stream.binary(Uint8Array.of(1));
  const again = await next;
  assert.deepEqual(again.hello.held, held);
  assert.match(node.run('ip address'), /10\.77\.0\.101/);
  again.begin();
  const last = (await heldUntilAck(again, 7)).at(-1);
  assert.doesNotMatch(node.run('ip address'), /10\.77\.0\.10\d|fd77::10\d/);
  assert.deepEqual(last, { type: 'held', vips: [] });
});

test('an agent reports its refusals again to a controller that restarts', { skip }, async () => {
  const own: Service = { name: 'own', addresses: ['10.77.0.150'], ports: ['TCP 80'] };
  await using node = await Node.start({ services: [...services] });
  node.run('ip address add 10.77.0.150/24 dev lan');
  await node.setServices([...services, own]);
  const refused = async (): Promise<boolean> => {
    const [status] = (await node.controllerStatus()).nodes;
    return status?.refusals.some(({ code }) => code === 'AddressConflict') === true;
  };
  await node.until('it is refused', refused);
  await node.killController('SIGTERM');
  node.startController();
  await node.until('the refusal is known again', refused);
});

test('an agent that starts announces the VIPs that it finds on the node', { skip }, async () => {
  await using node = await Node.start({ services: [...services] });
  await node.killAgent('SIGKILL');
  const [here, elsewhere] = ['lan', 'lan0'].map((link) => {
    const where = link === 'lan' ? node.node : node.client;
    return /link\/ether (\S+)/.exec(node.run(`ip link show ${link}`, { where }))?.[1] ?? '';
  });
  const wayTo = (address: string): string =>
    node.run(`ip neighbour show ${address} dev lan0`, { where: node.client });
  const addresses = services.flatMap((service) => service.addresses);
  // As if another node had them before, and the client had not heard of the change.
  for (const address of addresses) {
    const entry = `${address} lladdr ${elsewhere} dev lan0 nud reachable`;
    node.run(`ip neighbour replace ${entry}`, { where: node.client });
    assert.match(wayTo(address), new RegExp(`${elsewhere}`));
  }
  node.startAgent();
  for (const address of addresses)
    await node.until(`the client knows ${address}`, () => wayTo(address).includes(`${here}`));
  // The node forwards, and its kernel says so when it answers for the VIP.
  for (const address of addresses) assert.equal(/ router /.test(wayTo(address)), address.includes(':'));
});
