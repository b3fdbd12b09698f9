// The agent as startAgent() makes it, without a stream: it is given typed messages, and each is timed to its
// ack.

import { join } from 'node:path';
import { type Agent, startAgent } from '../src/agent/agent.ts';
import { agentConfig, agentOptions } from '../src/agent/config.ts';
import type { Stream } from '../src/agent/stream/stream.ts';
import { loadNative } from '../src/host/native.ts';
import { createLog, openLogDestination } from '../src/process/log.ts';
import { readOptions } from '../src/process/options.ts';
import type { AgentMessage, ControllerMessage } from '../src/protocol/messages.ts';
import type { Address } from '../src/state/address.ts';
import type { VirtualIp } from '../src/state/virtual-ip.ts';
import { firstSync, type Variant } from './services.ts';
import type { Samples } from './statistics.ts';

const loadLimitMs = 60_000;

export class InProcess {
  readonly agent: Agent;
  readonly #stream: Stream;
  #ackedAtMs = 0;
  #acked = -1;
  #seq = 0;
  #next = 0;

  private constructor(agent: Agent) {
    this.agent = agent;
    this.#stream = {
      url: 'bench',
      state: 'open',
      reason: '',
      send: (message: AgentMessage) => this.#heard(message),
      refuse: (reason: string) => {
        throw new Error(`the agent refused the stream: ${reason}`);
      },
    };
  }

  static async start(folder: string, firewall: 'nftables' | 'xtables'): Promise<InProcess> {
    const argv = ['--node', 'bench', '--allow', '10.64.0.0/10', '--commit-interval', '0'];
    argv.push('--controller', 'ws://127.0.0.1:1', '--state', join(folder, 'agent'), '--firewall', firewall);
    const { values } = await readOptions(agentOptions, { argv, env: {} });
    const config = agentConfig(values);
    const log = createLog('error', openLogDestination(2), { component: 'agent' });
    // The agent connects to no controller: the messages of one are given below.
    const alone = { ...config, values: { ...config.values, controller: [] } };
    return new InProcess(
      await startAgent(alone, {
        native: loadNative(),
        log,
        logDestination: { dropped: 0 },
        version: 'bench',
        signal: new AbortController().signal,
      }),
    );
  }

  /** Milliseconds from the first typed message to the ack of the whole table. */
  async load(table: readonly VirtualIp[]): Promise<number> {
    const messages = firstSync(table);
    const beganAtMs = performance.now();
    for (const message of messages) this.#say(message);
    while (this.#acked < 0) {
      if (performance.now() - beganAtMs > loadLimitMs) throw new Error('the table was not acknowledged');
      await turn();
    }
    const tookMs = this.#ackedAtMs - beganAtMs;
    while (!this.agent.loop.settled) await turn();
    return tookMs;
  }

  /** Cycles of add, change and remove, with a pause before each; microseconds go to `samples`. */
  async replay(
    services: readonly Variant[],
    { cycles, pauseMs }: { cycles: number; pauseMs: number },
    samples: Samples,
  ): Promise<void> {
    for (let cycle = 0; cycle < cycles; cycle++) {
      const variant = services[this.#next++ % services.length];
      if (variant === undefined) throw new Error('no Services to add');
      const { added, changed } = variant;
      samples.add.push(await this.#time([added], [], pauseMs));
      samples.change.push(await this.#time([changed], [], pauseMs));
      samples.remove.push(await this.#time([], [added.address], pauseMs));
    }
  }

  async #time(set: readonly VirtualIp[], remove: readonly Address[], pauseMs: number): Promise<number> {
    if (pauseMs > 0) await pause(pauseMs);
    else await turn();
    const from = this.#seq++;
    const delta: ControllerMessage = { type: 'delta', table: 'rules', from, to: this.#seq, set, remove };
    const beganAtMs = performance.now();
    this.#say(delta);
    // A commit that takes the kernel longer than the agent waits is acknowledged in a later turn.
    while (this.#acked < this.#seq) await turn();
    return (this.#ackedAtMs - beganAtMs) * 1000;
  }

  #say(message: ControllerMessage): void {
    this.agent.session.onMessage(this.#stream, message);
  }

  #heard(message: AgentMessage): void {
    if (message.type === 'refused') throw new Error(`refused: ${message.reason}`);
    if (message.type === 'resync') throw new Error('the agent asked for a resync');
    if (message.type !== 'ack' || message.table !== 'rules') return;
    this.#ackedAtMs = performance.now();
    this.#acked = message.seq;
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
