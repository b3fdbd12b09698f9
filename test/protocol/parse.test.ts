// Every rule of a frame on both sides: the message names the first bad field by its path, and what it may be.

import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { openFrame, parseControllerMessage, readAgentMessage } from '../../src/protocol/parse.ts';

const have = { count: 1, digests: { 0: '03cab92429bcd23b', 255: '0000000000000001' } };
const term = { generation: 1, n: 7 };
const placement = { address: '10.77.0.100', term };
const port = { protocol: 'TCP', port: 80, service: 'demo/web', delivery: 'host', sources: ['10.0.0.0/8'] };
const rule = { address: 'fd77::1', filtered: true, egress: false, ports: [port] };
const most = Number.MAX_SAFE_INTEGER;

const hello = {
  type: 'hello',
  version: 'v'.repeat(64),
  features: Array(100).fill('f'.repeat(1024)),
  node: 'n1',
  firewall: 'f'.repeat(64),
  allow: Array(1000).fill('10.0.0.0/8'),
  onLink: ['fd77::/64'],
  generation: most,
  cluster: 'c'.repeat(64),
  rules: have,
  placements: have,
  held: [placement],
  macs: ['02:00:5e:10:00:01'],
};
const refused = {
  type: 'refused',
  table: 'placements',
  key: '10.0.0.1',
  services: ['demo/web'],
  code: 'Forbidden',
  reason: 'r'.repeat(4096),
  mac: '02:00:5e:10:00:01',
};
const welcome = {
  type: 'welcome',
  version: '0',
  features: ['x'],
  cluster: 'c',
  generation: 0,
  ruling: false,
};
const page = { type: 'page', table: 'rules', buckets: [0, 255], set: [rule] };
const synced = {
  type: 'synced',
  table: 'rules',
  seq: 0,
  count: 0,
  digest: '03cab92429bcd23b',
  first: ['10.0.0.1'],
};
const delta = {
  type: 'delta',
  table: 'placements',
  from: 0,
  to: 1,
  set: [placement],
  remove: ['10.0.0.1'],
  first: ['10.77.0.100'],
  quiet: ['10.77.0.100'],
};
const ack = { type: 'ack', table: 'rules', seq: 0, commitUs: most };
const accepted = { type: 'accepted', table: 'rules', key: '10.0.0.1' };
const held = { type: 'held', vips: [placement] };
const heldDelta = { type: 'heldDelta', set: [placement], remove: ['10.0.0.1'] };
const resync = { type: 'resync', table: 'placements', have };
const tick = { type: 'tick' };
const agents: readonly object[] = [hello, refused, ack, accepted, held, heldDelta, resync, { type: 'bye' }];
const controllers: readonly object[] = [welcome, page, synced, delta];

const ofAgent = (frame: object) => readAgentMessage(openFrame(JSON.stringify(frame)));
const ofController = (frame: object) => parseControllerMessage(JSON.stringify(frame));

const read = (base: object, frame: object) =>
  controllers.includes(base) ? ofController(frame) : ofAgent(frame);

test('a frame at its limits is read as it is, without members that nobody knows', () => {
  for (const frame of [...agents, ...controllers]) deepEqual(read(frame, { ...frame, later: 1 }), frame);
  deepEqual(ofAgent({ ...hello, cluster: null }), { ...hello, cluster: null });
  deepEqual([ofAgent(tick), ofController(tick)], [tick, tick]);
  const down = { ...held, vips: [{ ...placement, down: true }] };
  deepEqual(ofAgent(down), down);
  deepEqual(ofAgent({ ...held, vips: [{ ...placement, down: false }] }), held);
  const placements = { ...page, table: 'placements', set: [placement] };
  deepEqual(ofController(placements), placements);
  const rules = { ...delta, table: 'rules', set: [rule] };
  deepEqual(ofController(rules), rules);
});

const text = (length: number) => `a text of at most ${length} characters`;
const long = (length: number) => 'x'.repeat(length + 1);
const cut = `"${'x'.repeat(79)}…`;
const whole = `a whole number of 0-${most}`;
const serviceForm = 'NAMESPACE/NAME in lower case letters, digits, - and .';
const address = 'an IPv4 or IPv6 address';
const onPort = (change: object) => ({ set: [rule, { ...rule, ports: [{ ...port, ...change }] }] });
const agentTypes = 'hello, ack, refused, accepted, held, heldDelta, resync, tick or bye';
const inOrder = 'ports in order of protocol and number, none twice, got an object';
const on = 'set[1].ports[0]';

const wrong: readonly (readonly [base: object, change: object, message: string])[] = [
  [hello, { version: long(64) }, `version: expected ${text(64)}, got "${long(64)}"`],
  [hello, { version: [1, 2] }, `version: expected ${text(64)}, got a list of 2`],
  [hello, { version: {} }, `version: expected ${text(64)}, got an object`],
  [hello, { version: null }, `version: expected ${text(64)}, got null`],
  [hello, { features: 'x'.repeat(78) }, `features: expected a list, got "${'x'.repeat(78)}"`],
  [hello, { features: 'x'.repeat(79) }, `features: expected a list, got ${cut}`],
  [hello, { features: Array(101).fill('') }, 'features: expected at most 100 items, got 101'],
  [hello, { features: ['', long(1024)] }, `features[1]: expected ${text(1024)}, got ${cut}`],
  [hello, { node: 'N' }, 'node: expected lower case letters, digits, - and . between them, got "N"'],
  [hello, { firewall: long(64) }, `firewall: expected ${text(64)}, got "${long(64)}"`],
  [hello, { allow: Array(1001).fill('10.0.0.0/8') }, 'allow: expected at most 1000 items, got 1001'],
  [
    hello,
    { allow: ['10.0.0.0/8', '10.0.0.1/8'] },
    'allow[1]: expected canonical text (10.0.0.0/8), got "10.0.0.1/8"',
  ],
  [hello, { onLink: ['10.0.0.0/33'] }, 'onLink[0]: expected a prefix length of 0-32, got "10.0.0.0/33"'],
  [hello, { onLink: Array(1001).fill('') }, 'onLink: expected at most 1000 items, got 1001'],
  [hello, { macs: Array(1001).fill('') }, 'macs: expected at most 1000 items, got 1001'],
  [hello, { macs: ['x'] }, 'macs[0]: expected six bytes as 02:00:5e:10:00:01, got "x"'],
  [hello, { cluster: long(64) }, `cluster: expected ${text(64)}, got "${long(64)}"`],
  [hello, { generation: -1 }, `generation: expected ${whole}, got -1`],
  [hello, { generation: 0.5 }, `generation: expected ${whole}, got 0.5`],
  [hello, { generation: most + 1 }, `generation: expected ${whole}, got ${most + 1}`],
  [hello, { rules: [] }, 'rules: expected an object, got a list of 0'],
  [hello, { placements: { count: 0 } }, 'placements.digests: expected an object, got undefined'],
  [
    hello,
    { rules: { count: 0, digests: { '1234567890': '' } } },
    'rules.digests.12345678: expected a bucket of 0-255, got "1234567890"',
  ],
  [hello, { placements: { digests: {} } }, `placements.count: expected ${whole}, got undefined`],
  [hello, { held: [placement, { term }] }, `held[1].address: expected ${text(64)}, got undefined`],
  [hello, { held: [{ ...placement, down: 1 }] }, 'held[0].down: expected true or false, got 1'],
  [hello, { held: [{ ...placement, term: null }] }, 'held[0].term: expected an object, got null'],
  [
    hello,
    { held: [{ ...placement, term: { generation: 1 } }] },
    `held[0].term.n: expected ${whole}, got undefined`,
  ],
  [ack, { table: 'rule' }, 'table: expected rules or placements, got "rule"'],
  [ack, { seq: '1' }, `seq: expected ${whole}, got "1"`],
  [ack, { commitUs: undefined }, `commitUs: expected ${whole}, got undefined`],
  [refused, { key: '10.0.0' }, `key: expected ${address}, got "10.0.0"`],
  [refused, { key: long(64) }, `key: expected ${text(64)}, got "${long(64)}"`],
  [refused, { key: 'fd77:0::1' }, 'key: expected canonical text (fd77::1), got "fd77:0::1"'],
  [refused, { services: ['web'] }, `services[0]: expected ${serviceForm}, got "web"`],
  [
    refused,
    { code: 'x' },
    'code: expected KernelRefused or Forbidden or AddressConflict or NoInterface, got "x"',
  ],
  [refused, { reason: long(4096) }, `reason: expected ${text(4096)}, got ${cut}`],
  [refused, { mac: null }, `mac: expected ${text(17)}, got null`],
  [accepted, { key: undefined }, `key: expected ${text(64)}, got undefined`],
  [held, { vips: {} }, 'vips: expected a list, got an object'],
  [held, { vips: Array(100_001).fill(0) }, 'vips: expected at most 100000 items, got 100001'],
  [heldDelta, { remove: ['x'] }, `remove[0]: expected ${address}, got "x"`],
  [heldDelta, { set: [0] }, 'set[0]: expected an object, got 0'],
  [resync, { have: undefined }, 'have: expected an object, got undefined'],
  [hello, { type: 'x' }, `type: expected ${agentTypes}, got "x"`],
  [hello, { type: long(32) }, `type: expected ${text(32)}, got "${long(32)}"`],
  [welcome, { type: 'x' }, 'type: expected welcome, page, synced, delta or tick, got "x"'],
  [welcome, { version: long(64) }, `version: expected ${text(64)}, got "${long(64)}"`],
  [welcome, { features: Array(101).fill('') }, 'features: expected at most 100 items, got 101'],
  [welcome, { cluster: long(64) }, `cluster: expected ${text(64)}, got "${long(64)}"`],
  [welcome, { generation: null }, `generation: expected ${whole}, got null`],
  [welcome, { ruling: 1 }, 'ruling: expected true or false, got 1'],
  [page, { table: 1 }, 'table: expected rules or placements, got 1'],
  [page, { buckets: [0, 256] }, 'buckets[1]: expected a whole number of 0-255, got 256'],
  [page, { buckets: Array(257).fill(0) }, 'buckets: expected at most 256 items, got 257'],
  [page, { set: [placement] }, 'set[0].filtered: expected true or false, got undefined'],
  [page, { table: 'placements' }, 'set[0].term: expected an object, got undefined'],
  [page, { set: [{ ...rule, address: 'x' }] }, `set[0].address: expected ${address}, got "x"`],
  [page, { set: [{ ...rule, egress: 0 }] }, 'set[0].egress: expected true or false, got 0'],
  [page, { set: [{ ...rule, ports: null }] }, 'set[0].ports: expected a list, got null'],
  [
    page,
    { set: [{ ...rule, ports: Array(100_001).fill(0) }] },
    'set[0].ports: expected at most 100000 items, got 100001',
  ],
  [page, { set: [{ ...rule, ports: [port, port] }] }, `set[0].ports[1]: expected ${inOrder}`],
  [
    page,
    { set: [{ ...rule, ports: [port, { ...port, port: 79 }] }] },
    `set[0].ports[1]: expected ${inOrder}`,
  ],
  [
    page,
    { set: [{ ...rule, ports: [port, { ...port, protocol: 'SCTP' }] }] },
    `set[0].ports[1]: expected ${inOrder}`,
  ],
  [page, onPort({ protocol: 'tcp' }), `${on}.protocol: expected TCP, UDP or SCTP, got "tcp"`],
  [page, onPort({ port: 0 }), `${on}.port: expected 1-65535, got 0`],
  [page, onPort({ port: 65_536 }), `${on}.port: expected 1-65535, got 65536`],
  [page, onPort({ port: 1.5 }), `${on}.port: expected 1-65535, got 1.5`],
  [page, onPort({ service: 1 }), `${on}.service: expected ${serviceForm}, got 1`],
  [page, onPort({ delivery: 'none' }), `${on}.delivery: expected host or forward, got "none"`],
  [page, onPort({ sources: undefined }), `${on}.sources: expected a list, got undefined`],
  [
    page,
    onPort({ sources: ['10.0.0.0'] }),
    `${on}.sources[0]: expected canonical text (10.0.0.0/32), got "10.0.0.0"`,
  ],
  [synced, { seq: -1 }, `seq: expected ${whole}, got -1`],
  [synced, { count: -1 }, `count: expected ${whole}, got -1`],
  [synced, { digest: long(16) }, `digest: expected ${text(16)}, got "${long(16)}"`],
  [synced, { first: ['x'] }, `first[0]: expected ${address}, got "x"`],
  [delta, { from: -1 }, `from: expected ${whole}, got -1`],
  [delta, { to: -1 }, `to: expected ${whole}, got -1`],
  [delta, { set: [{ ...placement, address: 1 }] }, `set[0].address: expected ${text(64)}, got 1`],
  [
    delta,
    { set: [{ ...placement, term: { n: 1 } }] },
    `set[0].term.generation: expected ${whole}, got undefined`,
  ],
  [delta, { remove: null }, 'remove: expected a list, got null'],
  [delta, { quiet: 1 }, 'quiet: expected a list, got 1'],
];

test('a bad field is named by its path, with what it may be', () => {
  for (const [base, change, message] of wrong)
    throws(() => read(base, { ...base, ...change }), { code: 'BadFrame', message });
  throws(() => ofAgent([]), { code: 'BadFrame', message: 'frame: expected an object, got a list of 0' });
  throws(() => openFrame('{'), { code: 'BadFrame', message: /^not JSON: / });
});

test('ports in order of protocol and number, and a port without sources, are read', () => {
  const ports = ['SCTP', 'TCP', 'UDP'].flatMap((protocol) =>
    [1, 65_535].map((number) => ({ ...port, protocol, port: number, sources: number === 1 ? null : [] })),
  );
  equal(
    JSON.stringify(ofController({ ...page, set: [{ ...rule, ports }] })),
    JSON.stringify({ ...page, set: [{ ...rule, ports }] }),
  );
});
