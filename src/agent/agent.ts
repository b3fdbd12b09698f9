// Starts an agent: opens the kernel, adopts its state, applies the last state from disk, and opens the
// streams to the controllers.

import { lookup } from 'node:dns/promises';
import { Kernel } from '../host/kernel.ts';
import type { Native } from '../host/native.ts';
import { makeFolder } from '../process/folder.ts';
import type { Log, LogDestination } from '../process/log.ts';
import { UsageError } from '../process/usage.ts';
import type { Address } from '../state/address.ts';
import type { Announcer } from './addresses/announce.ts';
import { ownAddresses, takeAway } from './addresses/own-addresses.ts';
import type { Places } from './addresses/places.ts';
import type { Prober } from './addresses/prober.ts';
import { type AgentConfig, type AgentValues, firewallOptions } from './config.ts';
import { ConfigReload } from './config-reload.ts';
import { readJournal } from './disk/journal-file.ts';
import { type Firewall, TableOwnedError } from './firewall/firewall.ts';
import { openFirewallAtStart } from './firewall/open-firewall.ts';
import type { Ledger } from './ledger.ts';
import type { Loop } from './loop.ts';
import { Parts } from './parts.ts';
import { pollKernel } from './poll.ts';
import type { Rules } from './rules/rules.ts';
import { readCredentials } from './stream/credentials.ts';
import { usualLookAgainMs } from './stream/reconnect.ts';
import type { Session } from './stream/session.ts';
import { Streams } from './stream/streams.ts';
import type { Tallies } from './tallies.ts';
import { watchForeignRules, watchKernel } from './watch.ts';

/** The parts of a running agent that `/status`, `/metrics` and the other routes read. */
export interface Agent {
  readonly announcer: Announcer;
  readonly config: AgentConfig;
  readonly version: string;
  readonly firewall: Firewall;
  readonly kernel: Kernel;
  readonly ledger: Ledger;
  readonly loop: Loop;
  readonly places: Places;
  /** Whether a held VIP is usable and announced. */
  readonly isUsable: (key: Address) => boolean;
  readonly prober: Prober;
  readonly rules: Rules;
  readonly session: Session;
  readonly streams: Streams;
  readonly tallies: Tallies;
  readonly logDestination: Pick<LogDestination, 'dropped'>;
  /** Problems that concern the whole agent and no single VIP. */
  readonly problems: () => readonly string[];
  /** Applies the options that can change at run time; retries while the kernel cannot be read. */
  follow(next: AgentConfig): void;
  /** Ends the streams and leaves the kernel as it is. False if the last state could not be written. */
  stop(): Promise<boolean>;
}

export interface AgentInput {
  readonly native: Native;
  readonly log: Log;
  readonly logDestination: Pick<LogDestination, 'dropped'>;
  readonly version: string;
  /** Ends the wait for a process that owns our table. */
  readonly signal: AbortSignal;
  /** The lock file of legacy xtables, if it is not the default one. */
  readonly lockFile?: string | undefined;
}

/**
 * Throws NoFirewallError, TableOwnedError, SystemCallError, UsageError about the state folder, and the reason
 * of an aborted signal.
 */
export async function startAgent(config: AgentConfig, input: AgentInput): Promise<Agent> {
  const { native, log, logDestination, version } = input;
  const { values } = config;
  await makeStateFolder(values.state);
  const saved = readJournal(values.state);
  if (saved.problem !== null) log.warn({ problem: saved.problem }, 'stateUnreadable');
  const { kernel, firewall } = await openKernel(values, input);
  const parts = new Parts({ config, version, native, log, kernel, firewall, saved });
  const { announcer, holder, journal, ledger, loop, network, prober } = parts;
  const { reporter, retirement, rules, session, tallies } = parts;
  const watches = await watch(parts, native, values);
  loop.doubt('start');
  await loop.idle();
  const streams = connect(session, log, values);
  const configReload = new ConfigReload({ ...parts, log }, config);
  return {
    get config() {
      return configReload.config;
    },
    version,
    logDestination,
    kernel,
    firewall,
    ledger,
    tallies,
    announcer,
    prober,
    rules,
    loop,
    session,
    streams,
    places: holder.places,
    isUsable: (key) => holder.isUsable(key),
    problems() {
      const troubled = [journal, reporter, retirement, configReload, network, holder.places];
      const troubles = troubled.map(({ trouble }) => trouble);
      return [...troubles, ...session.problems, ...firewall.shortfalls].filter((text) => text !== '');
    },
    follow: (next) => configReload.follow(next),
    async stop() {
      session.send({ type: 'bye' });
      for (const part of [loop, holder, announcer, prober, retirement, configReload, streams, ...watches])
        part[Symbol.dispose]();
      return await journal.close();
    },
  };
}

async function makeStateFolder(path: string): Promise<void> {
  try {
    await makeFolder(path, 0o700);
  } catch (error) {
    const remedy = 'give --state a folder that this process may write, or make it one';
    throw new UsageError(`--state ${path}: ${(error as Error).message}; ${remedy}`, { cause: error });
  }
}

interface Opened {
  readonly kernel: Kernel;
  readonly firewall: Firewall;
}

/** Leaves no address of ours unguarded if another process has our table. */
async function openKernel(values: AgentValues, input: AgentInput): Promise<Opened> {
  const kernel = new Kernel(input.native, input);
  try {
    return { kernel, firewall: await openFirewallAtStart(kernel, firewallOptions(values), input) };
  } catch (error) {
    using _ = kernel;
    if (error instanceof TableOwnedError) await letGo(kernel, input.log);
    throw error;
  }
}

/**
 * Removes our addresses because another process owns our nftables table. That process is no agent, so it does
 * not guard our VIPs, and an address must not stay without its filter.
 */
async function letGo(kernel: Kernel, log: Log): Promise<void> {
  const left = await ownAddresses(kernel);
  const refused = await takeAway(kernel, left);
  if (left.length > 0) log.error({ addresses: left.length, refused: refused.length }, 'unguardedLetGo');
}

/** Watches what other programs change in the kernel. */
async function watch(parts: Parts, native: Native, values: AgentValues): Promise<Disposable[]> {
  const { kernel, pace, rules } = parts;
  const watches = watchKernel({ native, ...parts });
  if (values.commitInterval === undefined)
    watches.push(await watchForeignRules(kernel, pace, () => rules.commits));
  watches.push(pollKernel(parts));
  return watches;
}

function connect(session: Session, log: Log, values: AgentValues): Streams {
  const streams = new Streams({
    urls: values.controller,
    lookup: (host) => lookup(host, { all: true }),
    lookAgainMs: usualLookAgainMs,
    credentials: () => readCredentials(values),
    hello: () => session.hello(),
    onMessage: (stream, message) => session.onMessage(stream, message),
    onClose: (stream) => session.onClose(stream),
    log,
    now: () => performance.now(),
  });
  streams.start();
  return streams;
}
