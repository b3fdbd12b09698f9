// An agent put together: the kernel's state adopted, the last state from disk in force, and the streams opened.

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Message } from '../dialects/nftables/constants.ts';
import { isOurs } from '../dialects/nftables/decode.ts';
import { chainDump, readForeign } from '../dialects/nftables/foreign.ts';
import { listen } from '../host/events.ts';
import { Kernel } from '../host/kernel.ts';
import type { Native } from '../host/native.ts';
import type { Log } from '../process/log.ts';
import type { HeldVip, Refusal } from '../protocol/messages.ts';
import { type Address, parseAddress } from '../state/address.ts';
import { Acks } from './acks.ts';
import { Announcer } from './announce.ts';
import { Census } from './census.ts';
import type { AgentConfig } from './config.ts';
import { type Firewall, openFirewall } from './firewall.ts';
import { Holder } from './holder.ts';
import { Journal, readJournal } from './journal.ts';
import { Ledger } from './ledger.ts';
import { Link } from './link.ts';
import { Loop } from './loop.ts';
import { Network } from './network.ts';
import { commitIntervalMs, Pace } from './pace.ts';
import { Rules } from './rules.ts';
import { Session } from './session.ts';
import { Tallies } from './tallies.ts';

/** How often the rules of others are counted anew while commits are made. */
const foreignEveryMs = 60_000;

/** What `/status`, `/metrics` and the other routes look at. */
export interface Agent {
  readonly config: AgentConfig;
  readonly version: string;
  readonly firewall: Firewall;
  readonly kernel: Kernel;
  readonly ledger: Ledger;
  readonly loop: Loop;
  readonly rules: Rules;
  readonly session: Session;
  readonly link: Link;
  readonly network: Network;
  readonly tallies: Tallies;
  /** What keeps the agent as a whole from its work. */
  readonly problems: () => readonly string[];
  /** Ends the streams and leaves the kernel as it is. */
  stop(): Promise<void>;
}

export interface AgentParts {
  readonly native: Native;
  readonly log: Log;
  readonly version: string;
}

/** Throws NoFirewallError, TableOwnedError, SystemCallError, and what making the state folder throws. */
export async function startAgent(config: AgentConfig, { native, log, version }: AgentParts): Promise<Agent> {
  const { values, node, allow } = config;
  mkdirSync(values.state, { recursive: true, mode: 0o700 });
  const { state, problem } = readJournal(values.state);
  if (problem !== null) log.warn({ problem }, 'state-unreadable');
  const now = (): number => performance.now();
  const kernel = new Kernel(native);
  const firewall = await openFirewall(kernel, {
    observe: values.filter === 'observe',
    counters: values.counters,
    echo: values.echo === 'on',
    owner: values.tableOwner === 'on',
  });
  const ledger = new Ledger();
  const census = new Census(values.setSize);
  const tallies = new Tallies();
  const network = new Network(kernel, values.interface);
  const announcer = new Announcer(native, network);
  const journal = new Journal(values.state, state, (error) =>
    log.error({ reason: String(error) }, 'state-unwritable'),
  );
  let trouble = '';

  const refuse = (refusal: Refusal): void => {
    if (!ledger.refuse(refusal)) return;
    log.warn({ ...refusal }, 'refused');
    session.send({ type: 'refused', ...refusal });
  };
  const rules = new Rules({
    kernel,
    firewall,
    ledger,
    census,
    refuse: (key, services, reason) =>
      refuse({ table: 'rules', key, services, code: 'KernelRefused', reason }),
    committed: (keys) => {
      for (const key of keys) journal.rule(key, ledger.committed.get(key));
    },
    observe: (micros) => tallies.commit.observe(micros / 1e6),
  });
  const acks: Acks = new Acks((ack) => {
    tallies.update.observe(ack.commitUs / 1e6);
    session.send(ack);
  }, now);
  const held = (): HeldVip[] =>
    [...ledger.held.keys()].flatMap((address) => {
      const term = ledger.placed.get(address)?.term;
      return term === undefined ? [] : [{ address, term }];
    });
  const holder = new Holder({
    ...{ kernel, ledger, network, announcer, nameservers, refuse },
    needs: () => census.needs(),
    onHeld: () => {
      session.send({ type: 'held', vips: held() });
      if (holder.usable) loop.wake();
    },
  });
  const pace = new Pace(values.commitInterval ?? commitIntervalMs(0), now);
  const loop: Loop = new Loop({
    ...{ ledger, rules, holder, pace, acks, allow },
    onRefused: refuse,
    onAccepted: (table, key) => session.send({ type: 'accepted', table, key }),
    onRepaired: (kind, objects) => {
      tallies.repair(kind, objects);
      log.info({ kind, objects }, 'reconciled');
    },
    onTrouble: (error) => {
      trouble = error instanceof Error ? error.message : String(error);
      log.error({ reason: trouble }, 'kernel-trouble');
    },
    onWell: () => {
      trouble = '';
    },
  });
  const session: Session = new Session(
    {
      ...{ node, version, allow, held, loop, now },
      firewall: firewall.dialect.name,
      hash: (text) => createHash('sha256').update(text).digest('hex'),
      onLink: () => network.onLink(allow),
      onIdentity: (cluster, generation) => journal.identity(cluster, generation),
      onChange: (change) => {
        if (change.table !== 'placements') return;
        for (const placement of change.set)
          if ('term' in placement) journal.placement(placement.address, placement);
        for (const key of change.remove) journal.placement(key, undefined);
      },
    },
    state,
  );
  session.rules.restore(state.rules.values());
  session.placements.restore(state.placements.values());
  loop.restore([...state.rules.values()], [...state.placements.values()]);

  const disposables = [
    listen(native, 'network', {
      onMessage: (message) => {
        const change = network.onMessage(message);
        if (change.kind === 'address usable') holder.onUsable(change.object);
        else if (change.kind === 'carrier') {
          holder.announce(change.link.index);
          loop.doubt('link');
        } else if (change.kind === 'address gone' && ledger.held.has(change.object.address))
          loop.doubt('address');
      },
      onLoss: () => loop.doubt('events-lost'),
    }),
  ];
  if (!firewall.owned) {
    const ours = kernel.portId('nfnetlink');
    disposables.push(
      listen(native, 'nftables', {
        onMessage: (message) => {
          if (message.portId !== ours && message.type !== Message.NEWGEN && isOurs(message))
            loop.doubt('rules');
        },
        onLoss: () => loop.doubt('events-lost'),
      }),
    );
  }
  const countForeign = async (): Promise<void> => {
    if (values.commitInterval !== undefined) return;
    pace.intervalMs = commitIntervalMs(readForeign(await kernel.ask(chainDump())).rules);
  };
  await countForeign();
  let countedAtCommits = 0;
  const recount = setInterval(() => {
    if (rules.commits === countedAtCommits) return;
    countedAtCommits = rules.commits;
    countForeign().catch((error: unknown) => log.warn({ reason: String(error) }, 'foreign-rules-uncounted'));
  }, foreignEveryMs).unref();
  loop.doubt('start');
  await loop.idle();

  const link = new Link({
    urls: values.controller,
    tls: config.tls,
    token: async () =>
      values.tokenFile === undefined ? undefined : (await readFile(values.tokenFile, 'utf8')).trim(),
    hello: () => session.hello(),
    onMessage: (stream, message) => session.onMessage(stream, message),
    onClose: (stream) => session.onClose(stream),
    log,
    now,
  });
  link.start();

  return {
    ...{ config, version, firewall, kernel, ledger, loop, rules, session, link, network, tallies },
    problems: () => [problem ?? '', trouble].filter((text) => text !== ''),
    async stop() {
      clearInterval(recount);
      session.send({ type: 'bye' });
      for (const part of [loop, holder, announcer, link, ...disposables]) part[Symbol.dispose]();
      await journal.close();
    },
  };
}

/** The addresses this host asks for names; without the file there are none. */
function nameservers(): Address[] {
  try {
    const lines = readFileSync('/etc/resolv.conf', 'utf8').split('\n');
    return lines.flatMap((line) => {
      const text = /^nameserver\s+(\S+)/.exec(line)?.[1];
      try {
        return text === undefined ? [] : [parseAddress(text)];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}
