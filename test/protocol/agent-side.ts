// The agent's side of the stream without a kernel behind it: streams and session are the agent's own.

import { lookup as dnsLookup } from 'node:dns/promises';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { Allowed } from '../../src/agent/addresses/allowed.ts';
import type { Loop } from '../../src/agent/loop.ts';
import type { Credentials } from '../../src/agent/stream/credentials.ts';
import type { Change } from '../../src/agent/stream/received-table.ts';
import { usualLookAgainMs } from '../../src/agent/stream/reconnect.ts';
import { Session } from '../../src/agent/stream/session.ts';
import type { StreamsParts } from '../../src/agent/stream/stream.ts';
import { Streams } from '../../src/agent/stream/streams.ts';
import { sha } from './peer.ts';

export interface TestedAgent {
  readonly session: Session;
  readonly streams: Streams;
  readonly port: () => number | undefined;
  readonly ack: (seq: number) => void;
  /** How often the loop was told that both tables are whole. */
  readonly syncs: () => number;
}

export interface AgentSide {
  /** The cluster that the node belongs to. */
  readonly cluster?: string | null;
  readonly acksAtOnce?: boolean;
  /** The prefixes and MACs of the node. */
  readonly ways?: () => readonly string[];
  readonly credentials?: () => Promise<Credentials>;
  readonly lookup?: StreamsParts['lookup'];
  readonly lookAgainMs?: number;
  readonly log?: StreamsParts['log'];
  readonly now?: StreamsParts['now'];
}

const everyAddress = (host: string) => dnsLookup(host, { all: true });
const none: Credentials = { token: undefined, ca: undefined, cert: undefined, key: undefined };

export function agentOf(
  t: TestContext,
  urls: readonly string[],
  { acksAtOnce = true, credentials = async () => none, lookup = everyAddress, ...more }: AgentSide = {},
): TestedAgent {
  let syncs = 0;
  const ack = (seq: number) => session.send({ type: 'ack', table: 'rules', seq, commitUs: 1 });
  const receive = ({ table, seq }: Change) => {
    if (acksAtOnce && table === 'rules') ack(seq);
  };
  const session: Session = new Session(
    {
      node: 'n1',
      version: '0',
      firewall: 'nftables',
      allow: new Allowed([]),
      hash: sha,
      links: () => ({ onLink: [], macs: [] }),
      ways: more.ways ?? (() => []),
      held: () => [],
      prepare: () => undefined,
      now: () => performance.now(),
      loop: { receive, enter: () => undefined, synced: () => syncs++ } as unknown as Loop,
      onIdentity: () => undefined,
      onRuler: () => undefined,
      onChange: () => undefined,
    },
    { cluster: more.cluster ?? null, generation: 0 },
  );
  const streams = new Streams({
    urls,
    credentials,
    lookup,
    log: more.log ?? pino({ level: 'silent' }),
    lookAgainMs: more.lookAgainMs ?? usualLookAgainMs,
    hello: () => session.hello(),
    onMessage: (stream, message) => session.onMessage(stream, message),
    onClose: (stream) => session.onClose(stream),
    now: more.now ?? (() => performance.now()),
  });
  t.after(() => streams[Symbol.dispose]());
  streams.start();
  const port = () => [...session.rules.resources.values()][0]?.ports[0]?.port;
  return { session, streams, port, ack, syncs: () => syncs };
}
