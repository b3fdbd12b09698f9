// The log lines about agents and their streams. An agent can cause each of them as often as it likes.

import type { Log } from '../../process/log.ts';
import type { Refused } from '../../protocol/messages.ts';
import type { RefusedAgent } from './closed-connections.ts';
import { LimitedLog } from './limited-log.ts';

/** Most nodes with lines of their own for their streams in a minute: more than a cluster has. */
const mostNodes = 10_000;

/** In every line a null stands for many nodes, VIPs or peers together. */
interface OfNode {
  readonly node: string | null;
}

interface OfStream extends OfNode {
  readonly code?: number;
  readonly reason?: string;
}

interface OfClaim extends OfNode {
  readonly address: string | null;
}

interface OfRefusal extends OfNode, Pick<Refused, 'table' | 'code' | 'reason'> {
  readonly key: string | null;
}

export class AgentLog {
  readonly connected: LimitedLog<OfStream>;
  /** A hello to a standby. */
  readonly heard: LimitedLog<OfStream>;
  readonly closed: LimitedLog<OfStream>;
  readonly turnedAway: LimitedLog<RefusedAgent>;
  readonly refused: LimitedLog<OfRefusal>;
  readonly impossible: LimitedLog<OfClaim>;

  constructor(log: Log) {
    const ofStreams = ({ event }: { readonly event: string }) =>
      new LimitedLog<OfStream>({
        say: (stream) => log.info(stream, event),
        kindOf: ({ node }) => `${node}`,
        ofAnyKind: (stream) => ({ ...stream, node: null }),
        mostKinds: mostNodes,
      });
    this.connected = ofStreams({ event: 'agentConnected' });
    this.heard = ofStreams({ event: 'agentHeard' });
    this.closed = ofStreams({ event: 'agentClosed' });
    this.turnedAway = new LimitedLog({
      say: (refused) => log.warn(refused, 'agentRefused'),
      kindOf: ({ code, peer }) => `${code} ${peer}`,
      ofAnyKind: (refused) => ({ ...refused, node: null, peer: null }),
    });
    this.refused = new LimitedLog({
      say: (vip) => log.warn(vip, 'refused'),
      kindOf: ({ node, table, key, code }) => `${node} ${table} ${key} ${code}`,
      ofAnyKind: (vip) => ({ ...vip, node: null, key: null }),
    });
    this.impossible = new LimitedLog<OfClaim>({
      say: (claim) => log.warn(claim, 'ImpossibleTerm'),
      kindOf: ({ node, address }) => `${node} ${address}`,
      ofAnyKind: () => ({ node: null, address: null }),
    });
  }
}
