// Applies a config file that was read again: some keys change at run time, the others are only logged.

import type { Kernel } from '../host/kernel.ts';
import { differingKeys } from '../process/config.ts';
import type { Log } from '../process/log.ts';
import { messageOf } from '../process/message-of.ts';
import type { Allowed } from './addresses/allowed.ts';
import type { Network } from './addresses/network.ts';
import { Backoff } from './backoff.ts';
import { type AgentConfig, firewallOptions } from './config.ts';
import type { Firewall } from './firewall/firewall.ts';
import { openFirewall } from './firewall/open-firewall.ts';
import type { Loop } from './loop.ts';
import type { Session } from './stream/session.ts';

/** Keys of the config file that take effect without a restart. */
type Live = 'logLevel' | 'allow' | 'filter' | 'echo' | 'interface';
const live: readonly Live[] = ['logLevel', 'allow', 'filter', 'echo', 'interface'];

export interface ConfigReloadParts {
  readonly kernel: Kernel;
  readonly firewall: Firewall;
  readonly allowed: Allowed;
  readonly network: Network;
  readonly session: Session;
  readonly loop: Loop;
  readonly log: Log;
}

export class ConfigReload implements Disposable {
  /** Why the newest config is not in force; empty while it is. */
  trouble = '';
  readonly #parts: ConfigReloadParts;
  readonly #later = new Backoff({ firstMs: 1000, limitMs: 60_000 }, () => this.follow(this.#newest));
  #config: AgentConfig;
  #newest: AgentConfig;
  #last: Promise<void> = Promise.resolve();

  constructor(parts: ConfigReloadParts, config: AgentConfig) {
    this.#parts = parts;
    this.#config = config;
    this.#newest = config;
  }

  /** The config in force: keys that need a restart keep their values of the start. */
  get config(): AgentConfig {
    return this.#config;
  }

  /**
   * Applies a config after the earlier ones and logs which keys changed. If the kernel cannot be read,
   * nothing changes, and the agent retries until it succeeds or a newer config comes.
   */
  follow(next: AgentConfig): void {
    this.#newest = next;
    this.#last = this.#last.then(() => this.#take(next));
  }

  [Symbol.dispose](): void {
    this.#later[Symbol.dispose]();
  }

  async #take(next: AgentConfig): Promise<void> {
    const { log } = this.#parts;
    const { config, changed, waiting } = followable(this.#config, next);
    try {
      await bringInForce(this.#parts, { config, changed });
    } catch (error) {
      this.#putOff(messageOf(error));
      return;
    }
    this.#config = config;
    this.trouble = '';
    this.#later.reset();
    log.level = config.values.logLevel;
    log.info({ changed }, 'configRead');
    if (waiting.length > 0) log.warn({ waiting, next: 'start the agent again' }, 'configWaiting');
  }

  #putOff(reason: string): void {
    if (this.trouble === '') this.#parts.log.error({ reason }, 'configPutOff');
    this.trouble = `the config that was read last is not in force, and the agent retries: ${reason}`;
    this.#later.wait();
  }
}

interface Followed {
  /** The new values of live keys, and for the other keys the values of the start. */
  readonly config: AgentConfig;
  readonly changed: readonly Live[];
  /** Changed keys that take effect only after a restart. */
  readonly waiting: readonly string[];
}

/** Splits the changes in `next` into those that take effect now and those that need a restart. */
function followable(now: AgentConfig, next: AgentConfig): Followed {
  const differing = differingKeys(now.values, next.values);
  const changed = live.filter((key) => differing.includes(key));
  const taken = Object.fromEntries(changed.map((key) => [key, next.values[key]]));
  return {
    config: { ...now, allow: next.allow, values: { ...now.values, ...taken } },
    changed,
    waiting: differing.filter((key) => !live.some((other) => other === key)),
  };
}

/** Applies the changed keys. Rejects, with nothing changed, if the kernel cannot be read. */
async function bringInForce(
  { kernel, firewall, allowed, network, session, loop }: ConfigReloadParts,
  { config, changed }: Omit<Followed, 'waiting'>,
): Promise<void> {
  const has = (...keys: readonly Live[]): boolean => keys.some((key) => changed.includes(key));
  if (has('filter', 'echo')) {
    const wish = firewall.dialect.name === 'xtables' ? 'xtables' : 'nftables';
    // In place, since other parts keep this object. It renders other rules from now on; the doubt below
    // commits them.
    Object.assign(firewall, await openFirewall(kernel, { ...firewallOptions(config.values), wish }));
  }
  if (has('interface')) network.wanted = config.values.interface;
  if (has('allow')) {
    allowed.prefixes = config.allow;
    for (const { name: table, resources } of [session.rules, session.placements])
      loop.enter({ table, set: [...resources.values()], remove: [], first: [], isWhole: false });
  }
  if (has('filter', 'echo', 'interface', 'allow')) loop.doubt('config');
  if (has('interface', 'allow')) session.beginAnew('--allow or --interface of the node has changed');
}
