// Starts an agent: puts its parts together, adopts the kernel's state, applies the last state from disk, and
// opens the streams to the controllers.

import { hash } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { Kernel } from '../host/kernel.ts';
import type { Native } from '../host/native.ts';
import { makeFolder } from '../process/folder.ts';
import type { Log, LogDestination } from '../process/log.ts';
import { UsageError } from '../process/usage.ts';
import type { Address } from '../state/address.ts';
import { Allowed } from './addresses/allowed.ts';
import { Announcer } from './addresses/announce.ts';
import { Holder } from './addresses/holder.ts';
import { nameservers } from './addresses/nameservers.ts';
import { Network } from './addresses/network.ts';
import { ownAddresses, takeAway } from './addresses/own-addresses.ts';
import type { Places } from './addresses/places.ts';
import { Prober } from './addresses/prober.ts';
import { type AgentConfig, firewallOptions } from './config.ts';
import { ConfigReload } from './config-reload.ts';
import { Journal } from './disk/journal.ts';
import { readJournal, type SavedJournal } from './disk/journal-file.ts';
import { type Firewall, TableOwnedError } from './firewall/firewall.ts';
import { openFirewallAtStart, retireOthers } from './firewall/open-firewall.ts';
import { Retirement } from './firewall/retirement.ts';
import { Ledger } from './ledger.ts';
import { Loop } from './loop.ts';
import { commitIntervalMs, Pace } from './pace.ts';
import { pollKernel } from './poll.ts';
import { Reporter } from './reporter.ts';
import { Census } from './rules/census.ts';
import { Rules } from './rules/rules.ts';
import { readCredentials } from './stream/credentials.ts';
import { Links } from './stream/links.ts';
import { usualLookAgainMs } from './stream/reconnect.ts';
import { Session } from './stream/session.ts';
import { Tallies } from './tallies.ts';
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
  readonly link: Links;
  readonly tallies: Tallies;
  readonly logDestination: Pick<LogDestination, 'dropped'>;
  /** Problems that concern the whole agent and no single VIP. */
  readonly problems: () => readonly string[];
  /** Applies the options that can change at run time; retries while the kernel cannot be read. */
  follow(next: AgentConfig): void;
  /** Ends the streams and leaves the kernel as it is. False if the last state could not be written. */
  stop(): Promise<boolean>;
}

export interface AgentParts {
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
export async function startAgent(config: AgentConfig, parts: AgentParts): Promise<Agent> {
  const { values } = config;
  await makeStateFolder(values.state);
  const saved = readJournal(values.state);
  if (saved.problem !== null) parts.log.warn({ problem: saved.problem }, 'stateUnreadable');
  const kernel = new Kernel(parts.native, parts);
  const opening = openFirewallAtStart(kernel, firewallOptions(values), parts);
  const firewall = await opening.catch(async (error: unknown) => {
    using _ = kernel;
    if (error instanceof TableOwnedError) await letGo(kernel, parts.log);
    throw error;
  });
  const made = assemble(config, parts, { kernel, firewall, saved });
  const { announcer, holder, journal, ledger, loop, pace, prober, reporter } = made;
  const { network, retirement, rules, session, tallies } = made;
  const watches = watchKernel({ native: parts.native, ...made });
  if (values.commitInterval === undefined)
    watches.push(await watchForeignRules(kernel, pace, () => rules.commits));
  watches.push(pollKernel(made));
  loop.doubt('start');
  await loop.idle();
  const link = new Links({
    urls: values.controller,
    lookup: (host) => lookup(host, { all: true }),
    lookAgainMs: usualLookAgainMs,
    credentials: () => readCredentials(values),
    hello: () => session.hello(),
    onMessage: (stream, message) => session.onMessage(stream, message),
    onClose: (stream) => session.onClose(stream),
    log: parts.log,
    now: () => performance.now(),
  });
  link.start();
  const configReload = new ConfigReload({ ...made, log: parts.log }, config);
  return {
    get config() {
      return configReload.config;
    },
    follow: (next) => configReload.follow(next),
    ...{ version: parts.version, firewall, kernel, ledger, loop, announcer, prober, rules, session },
    ...{ link, tallies },
    places: holder.places,
    isUsable: (key) => holder.isUsable(key),
    logDestination: parts.logDestination,
    problems: () =>
      [
        ...[journal, reporter, retirement, configReload, network, holder.places].map(
          ({ trouble }) => trouble,
        ),
        ...[...session.problems, ...firewall.shortfalls],
      ].filter((text) => text !== ''),
    async stop() {
      session.send({ type: 'bye' });
      for (const part of [loop, holder, announcer, prober, retirement, configReload, link, ...watches])
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

/**
 * Removes our addresses because another process owns our nftables table. That process is no agent, so it does
 * not guard our VIPs, and an address must not stay without its filter.
 */
async function letGo(kernel: Kernel, log: Log): Promise<void> {
  const left = await ownAddresses(kernel);
  const refused = await takeAway(kernel, left);
  if (left.length > 0) log.error({ addresses: left.length, refused: refused.length }, 'unguardedLetGo');
}

/** Makes the parts of an agent and wires them together; nothing runs yet. */
function assemble(
  { values, node, allow }: AgentConfig,
  { native, log, version }: AgentParts,
  { kernel, firewall, saved }: { kernel: Kernel; firewall: Firewall; saved: SavedJournal },
) {
  const now = (): number => performance.now();
  const allowed = new Allowed(allow);
  const ledger = new Ledger();
  const tallies = new Tallies();
  const census = new Census(values.setSize);
  const network = new Network(kernel, values.interface);
  const announcer = new Announcer(native, network);
  const prober = new Prober(native, network, values.firstClaim, (found) => loop.revisit(found));
  const { state } = saved;
  const journal = new Journal(values.state, saved, (reason) =>
    reason === '' ? log.info('stateWritten') : log.error({ reason }, 'stateUnwritable'),
  );
  const isUsable = (address: Address): boolean => holder.isUsable(address);
  const isDown = (address: Address): boolean => holder.places.isDown(address);
  const reporter = new Reporter({ ledger, journal, tallies, log, announcer, isUsable, isDown, now });
  const { acks, refuse } = reporter;
  const retirement = new Retirement({ retire: () => retireOthers(kernel, firewall.dialect.name), log });
  const rules = new Rules({
    ...{ kernel, firewall, ledger, census, ...reporter.ofRules },
    isOwn: (key) => network.ownAddress(key) !== undefined,
    withdraw: (keys) => holder.withdraw(keys),
    retain: (isGuarded) => holder.retain(isGuarded),
    onComplete: () => retirement.begin(),
  });
  const onHeld = (addresses: Iterable<Address>): void => {
    reporter.held(addresses);
    loop.wake();
  };
  const accept = (key: Address): void => reporter.accept('placements', key);
  const holder: Holder = new Holder({
    ...{ kernel, ledger, network, announcer, prober, nameservers, refuse, accept, onHeld },
  });
  const pace = new Pace(values.commitInterval ?? commitIntervalMs(0), now);
  const loop: Loop = new Loop({
    ledger,
    rules,
    holder,
    pace,
    acks,
    allow: allowed,
    network,
    ...reporter.ofLoop,
  });
  const session = new Session(
    {
      ...{ node, version, allow: allowed, loop, now },
      firewall: firewall.dialect.name,
      held: () => reporter.heldVips(),
      prepare: () => kernel.prepare(),
      hash: (text) => hash('sha256', text),
      links: () => ({ onLink: network.onLink(allowed.prefixes), macs: network.macs() }),
      ways: () => network.ways(allowed.prefixes),
      ...reporter.ofSession,
    },
    state,
  );
  reporter.session = session;
  session.rules.restore(state.rules.values());
  session.placements.restore(state.placements.values());
  loop.enter({ table: 'rules', set: [...state.rules.values()], remove: [], first: [], isWhole: false });
  // No controller has confirmed these placements yet, so the agent probes them like first claims.
  const first = [...state.placements.keys()];
  loop.enter({ table: 'placements', set: [...state.placements.values()], remove: [], first, isWhole: false });
  return {
    ...{ kernel, firewall, ledger, tallies, network, allowed, announcer, prober },
    ...{ journal, reporter, retirement, rules, holder, pace, loop, session },
  };
}
