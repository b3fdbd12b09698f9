// The load generator: a process with many agents, and the same number of connections to the bare server.

import { heartbeatMs } from '../../src/protocol/messages.ts';
import type { Address } from '../../src/state/address.ts';
import { Client } from './client.ts';
import { answerTo, GeneratedAgent } from './generated-agent.ts';
import { answerParent } from './questions.ts';
import { type Span, SpanOf } from './span.ts';

/** All agents send `tick` once per heartbeat, a few at a time, as agents of many hosts would. */
const tickGroups = 20;

const agents: GeneratedAgent[] = [];
const bare: Client[] = [];
const table = new Set<Address>();
const closed: string[] = [];
let round: { readonly span: SpanOf; frame: string } | null = null;
let bareRound: SpanOf | null = null;

export interface GeneratorState {
  /** VIPs in the rules of the first agent. */
  readonly vips: number;
  /** Agents that have acknowledged the same version as the first one. */
  readonly level: number;
  /** VIPs that all of them hold together. */
  readonly held: number;
  /** Why welcomed streams ended. */
  readonly closed: readonly string[];
}

const answers = {
  start({ url, count, range }: { url: string; count: number; range: string }): void {
    for (let index = 0; index < count; index++) {
      const agent = new GeneratedAgent({
        url,
        range,
        name: `generated-${index}`,
        table: index === 0 ? table : null,
        onDelta: (frame) => {
          if (round === null) return;
          if (round.frame === '') round.frame = String(frame);
          round.span.arrived();
        },
        onClosed: (reason) => closed.push(reason),
      });
      agents.push(agent);
    }
    let group = 0;
    setInterval(() => {
      for (let index = group; index < agents.length; index += tickGroups) agents[index]?.tick();
      group = (group + 1) % tickGroups;
    }, heartbeatMs / tickGroups);
  },

  state(): GeneratorState {
    const seq = agents[0]?.seq ?? null;
    const level = seq === null ? [] : agents.filter((agent) => agent.seq === seq);
    const held = agents.reduce((sum, agent) => sum + agent.held.size, 0);
    return { vips: table.size, level: level.length, held, closed };
  },

  /** Resolves to the span of their acks when all agents have acknowledged the next delta of the rules. */
  async nextDelta(): Promise<Span & { readonly frame: string }> {
    round = { span: new SpanOf(agents.length), frame: '' };
    const span = await round.span.whole;
    const { frame } = round;
    round = null;
    return { ...span, frame };
  },

  /** The same number of connections to a server that only sends. Each answers as an agent does. */
  async startBare(url: string): Promise<void> {
    for (const _ of agents) {
      const { promise: opened, resolve: onOpen } = Promise.withResolvers<void>();
      const client: Client = new Client({
        url,
        onOpen,
        isWanted: () => true,
        onClosed: () => undefined,
        onMessage: (data) => {
          client.send(answerTo(data));
          bareRound?.arrived();
        },
      });
      bare.push(client);
      await opened;
    }
  },

  async nextBare(): Promise<Span> {
    bareRound = new SpanOf(bare.length);
    return await bareRound.whole;
  },
};

export type Generator = typeof answers;

answerParent(answers);
