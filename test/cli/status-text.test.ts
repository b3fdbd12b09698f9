// The whole text of `vipward status`, for a controller and for an agent of which something can be said.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AgentStatus, Beside, ControllerStatus } from '../../src/cli/status-json.ts';
import { agentText, controllerText } from '../../src/cli/status-text.ts';

const ESC = '\u001b';
const tcp = { protocol: 'TCP', port: 80 };
const udp = { protocol: 'UDP', port: 53 };
const service = { key: 'demo/a', ports: [tcp], state: 'serving', reason: 'Announced' };
const vip = {
  address: '10.0.0.1',
  node: 'n1',
  term: { generation: 3, n: 7 },
  state: 'serving',
  reason: 'Announced',
  services: [service],
};
const node = { name: 'n1', connected: true, seq: 4, lagMs: 9.994, firewall: 'nftables' };
const ended = { node: 'n2', code: 1008, reason: `not ${ESC}JSON`, secondsAgo: 3 };

const status: ControllerStatus = {
  vips: [
    { ...vip, services: [service, { ...service, key: 'demo/b', ports: [udp] }] },
    { ...vip, address: '10.0.0.2', node: 'n2', message: 'm', services: [{ ...service, message: 'm' }] },
    {
      ...vip,
      address: '10.0.0.3',
      node: null,
      term: null,
      state: 'unowned',
      reason: 'NoNode',
      filtered: false,
      services: [{ ...service, reason: 'PortTaken', message: 'TCP 80 is taken' }],
    },
  ],
  nodes: [
    node,
    { ...node, name: 'n2', drained: true, late: true, lagMs: 10, lastClosed: ended },
    { ...node, name: 'n3', late: true, seq: null, lagMs: null, firewall: null },
    { ...node, name: 'n4', connected: false, drained: true, lagMs: 10.5, lastClosed: null },
    { ...node, name: 'n5', connected: false },
  ],
};

const counters: Beside = {
  node: 'n1',
  vips: [
    {
      ...vip,
      held: true,
      ports: [
        { ...tcp, packets: 12 },
        { ...udp, port: 54, packets: 1 },
        { ...udp, packets: null },
      ],
      dropped: 5,
    },
    { ...vip, address: '10.0.0.2', held: false, ports: [{ ...tcp, packets: 9 }], dropped: 6 },
  ],
};

const lines = (...text: readonly string[]): string => `${text.join('\n')}\n`;

test('a controller has its VIPs with the counters of their own node, its nodes, and lost ports', () => {
  const refused = ['', 'REFUSED  REASON     MESSAGE', 'demo/a   PortTaken  TCP 80 is taken'];
  assert.equal(
    controllerText(status, 'table', counters),
    lines(
      'VIP       NODE  STATE    REASON     PORTS             DROPPED     SERVICES',
      '10.0.0.1  n1    serving  Announced  80/tcp=12 53/udp  5           demo/a,demo/b',
      '10.0.0.2  n2    serving  Announced  80/tcp            -           demo/a',
      '10.0.0.3  -     unowned  NoNode     80/tcp            unfiltered  demo/a',
      '',
      'NODE  STATE          FIREWALL  SEQ  LAG',
      'n1    connected      nftables  4    9.99 ms',
      'n2    drained        nftables  4    10 ms',
      'n3    late           -         -    -',
      'n4    drained, gone  nftables  4    11 ms',
      'n5    gone           nftables  4    9.99 ms',
      ...refused,
    ),
  );
  assert.equal(
    controllerText({ ...status, ignored: { Ingress: 2, ExternalName: 1 } }, 'wide', null),
    lines(
      'VIP       NODE  STATE    REASON     PORTS          DROPPED     SERVICES       TERM  MESSAGE',
      '10.0.0.1  n1    serving  Announced  80/tcp 53/udp  -           demo/a,demo/b  3.7   -',
      '10.0.0.2  n2    serving  Announced  80/tcp         -           demo/a         3.7   m',
      '10.0.0.3  -     unowned  NoNode     80/tcp         unfiltered  demo/a         -     -',
      '',
      'NODE  STATE          FIREWALL  SEQ  LAG      LAST CLOSED',
      'n1    connected      nftables  4    9.99 ms  -',
      'n2    drained        nftables  4    10 ms    1008 not ?JSON, 3 s ago',
      'n3    late           -         -    -        -',
      'n4    drained, gone  nftables  4    11 ms    -',
      'n5    gone           nftables  4    9.99 ms  -',
      ...refused,
      '',
      'ignored: Ingress (2), ExternalName (1)',
    ),
  );
});

const empty: ControllerStatus = { vips: [], nodes: [] };
const noVips = 'VIP  NODE  STATE  REASON  PORTS  DROPPED  SERVICES\n';
const backup = 'check whether the records of this controller are an old backup';
const noNodes = '\nNODE  STATE  FIREWALL  SEQ  LAG\n';

test('what a controller refuses and cannot read comes after its nodes, each in a table of its own', () => {
  const refusal = { key: '10.0.0.1', code: 'Forbidden', reason: `no ${ESC}` };
  const nodes = [{ ...node, lagMs: 0, refusals: [refusal, refusal] }];
  const all: ControllerStatus = {
    vips: [],
    nodes,
    refused: [{ key: 'demo/x', reason: 'OutsidePool', message: 'widen it' }],
    problems: [{ file: 'a.yaml', document: null, message: 'not YAML' }],
    refusedStreams: [{ ...ended, node: null }],
    ignored: { Ingress: 2 },
  };
  const row = '10.0.0.1     n1       Forbidden  no ?';
  assert.equal(
    controllerText(all, 'table', null),
    lines(
      noVips,
      'NODE  STATE      FIREWALL  SEQ  LAG',
      'n1    connected  nftables  4    0.00 ms',
      '',
      'REFUSED  REASON       MESSAGE',
      'demo/x   OutsidePool  widen it',
      '',
      'REFUSED VIP  BY NODE  REASON     MESSAGE',
      row,
      row,
      '',
      'REFUSED STREAM OF  CLOSED',
      '-                  1008 not ?JSON, 3 s ago',
      '',
      'PROBLEM IN  DOCUMENT  SERVICE  MESSAGE',
      'a.yaml      -         -        not YAML',
    ),
  );
  const many = (count: number) =>
    controllerText({ vips: [], nodes: [{ ...node, refusals: Array(count).fill(refusal) }] }, 'table', null);
  assert.ok(!many(20).includes('more'));
  assert.equal(many(22).split(row).length - 1, 20);
  assert.match(many(22), /\nand 2 more: -o json has all of them\n$/);
  const kinds = Object.fromEntries(
    Array(22)
      .fill(0)
      .map((_, index) => [`k${index}`, index]),
  );
  const ignored = controllerText({ ...empty, ignored: kinds }, 'wide', null);
  assert.match(ignored, /k18 \(18\), k19 \(19\)\nand 2 more: -o json has all of them\n$/);
});

test('a controller that does not lead, or does not follow its Services, says so first', () => {
  const first = (more: Partial<ControllerStatus>): string => {
    const text = controllerText({ ...empty, ...more }, 'table', null);
    assert.ok(text.endsWith(noVips + noNodes));
    return text.slice(0, -(noVips + noNodes).length);
  };
  assert.equal(first({}), '');
  const leader = { identity: `b${ESC}`, address: '10.0.0.9:9470' };
  for (const [said, text] of [
    [{ role: 'leader', leader: null }, ''],
    [{ role: 'standby' }, 'standby: it knows no leader\n\n'],
    [{ role: 'standby', leader: null }, 'standby: it knows no leader\n\n'],
    [{ role: 'standby', identity: 'a', leader }, 'standby: the leader is b? at 10.0.0.9:9470\n\n'],
    [
      { role: 'standby', identity: 'a', leader: { identity: 'a', address: null } },
      'standby: it holds the Lease, but did not renew it in time\n\n',
    ],
    [{ synced: true, reason: null, generationRaised: null, massRemoval: null }, ''],
    [{ synced: { services: true }, reason: 'Other' }, ''],
    [{ synced: false, reason: 'NotRead' }, 'not synced: NotRead\n\n'],
    [
      { synced: { services: true, nodes: false, pods: false }, reason: 'NotComplete' },
      'not synced: NotComplete: nodes, pods\n\n',
    ],
    [
      { synced: false, massRemoval: { vips: 12, secondsLeft: 7.2 }, reason: 'MassRemoval' },
      'MassRemoval: 12 VIPs would be removed at once; accepted in 8 s if a second reading agrees\n\n',
    ],
    [
      { generationRaised: { from: 1, to: 42, node: 'n2', secondsAgo: 5 } },
      `GenerationRaised: from 1 to 42, 5 s ago, since n2 knew 41; ${backup}\n\n`,
    ],
  ] as const)
    assert.equal(first(said), text);
});

const held = { ...vip, held: true, ports: [{ ...tcp, packets: 0 }, udp], dropped: 0 };

test('an agent has its VIPs, its controllers, and what is refused, waits or is wrong', () => {
  const agent: AgentStatus = {
    node: 'n1',
    firewall: null,
    inSync: false,
    filter: 'observe',
    controllers: [{ url: 'ws://c:9470', state: 'refused', reason: `no ${ESC}` }],
    problems: [`full ${ESC}`, 'late'],
    vips: [
      { ...held, message: '' },
      { ...held, address: '10.0.0.2', held: false, term: null, state: 'refused', message: 'not allowed' },
      { ...held, address: '10.0.0.3', state: 'pending', reason: '', message: 'no carrier', dropped: null },
      { ...held, address: '10.0.0.4', filtered: false },
    ],
  };
  const after = [
    '',
    'CONTROLLER   STATE    REASON',
    'ws://c:9470  refused  no ?',
    '',
    'REFUSED   REASON     MESSAGE',
    '10.0.0.2  Announced  not allowed',
    '',
    'WAITS     MESSAGE',
    '10.0.0.3  no carrier',
    '',
    'problem: full ?',
    'problem: late',
  ];
  assert.equal(
    agentText(agent, 'wide'),
    lines(
      'node n1, firewall -, not in sync, observing: nothing is dropped',
      '',
      'VIP       HELD  STATE    REASON     PORTS            WOULD DROP  TERM  MESSAGE',
      '10.0.0.1  yes   serving  Announced  80/tcp=0 53/udp  0           3.7   -',
      '10.0.0.2  no    refused  Announced  80/tcp=0 53/udp  0           -     not allowed',
      '10.0.0.3  yes   pending  -          80/tcp=0 53/udp  -           3.7   no carrier',
      '10.0.0.4  yes   serving  Announced  80/tcp=0 53/udp  unfiltered  3.7   -',
      ...after,
    ),
  );
  const quiet = { node: 'n1', firewall: 'nftables', inSync: true, vips: [held] };
  assert.equal(
    agentText(quiet, 'table'),
    lines(
      'node n1, firewall nftables, in sync',
      '',
      'VIP       HELD  STATE    REASON     PORTS            DROPPED',
      '10.0.0.1  yes   serving  Announced  80/tcp=0 53/udp  0',
    ),
  );
  const observing = { ...counters, filter: 'observe' };
  assert.match(controllerText(empty, 'table', observing), /^VIP .* WOULD DROP +SERVICES\n/);
});
