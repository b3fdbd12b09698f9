// A config that was read again: what of it can change while the agent runs is taken over, all else is named.

import type { Kernel } from '../host/kernel.ts';
import { differingKeys } from '../process/config.ts';
import type { Allowed } from './allowed.ts';
import { type AgentConfig, firewallOptions } from './config.ts';
import type { Firewall } from './firewall.ts';
import type { Loop } from './loop.ts';
import type { Network } from './network.ts';
import { openFirewall } from './open-firewall.ts';
import type { Session } from './session.ts';

/** Keys of the config file that are followed. */
type Live = 'logLevel' | 'allow' | 'filter' | 'echo' | 'interface';
const live: readonly Live[] = ['logLevel', 'allow', 'filter', 'echo', 'interface'];

export interface Followed {
  /** What is in force from now on: the new values, and for the rest those of the start. */
  readonly config: AgentConfig;
  readonly changed: readonly Live[];
  /** Keys that were changed to no effect, until the agent is started again. */
  readonly waiting: readonly string[];
}

/** What of `next` can be had without a restart. */
export function followable(now: AgentConfig, next: AgentConfig): Followed {
  const differing = differingKeys(now.values, next.values);
  const changed = live.filter((key) => differing.includes(key));
  const taken = Object.fromEntries(changed.map((key) => [key, next.values[key]]));
  return {
    config: { ...now, allow: next.allow, values: { ...now.values, ...taken } },
    changed,
    waiting: differing.filter((key) => !live.some((other) => other === key)),
  };
}

export interface FollowParts {
  readonly kernel: Kernel;
  readonly firewall: Firewall;
  readonly allowed: Allowed;
  readonly network: Network;
  readonly session: Session;
  readonly loop: Loop;
}

/** Brings what was changed in force. Rejects, with nothing changed, if the kernel cannot be asked. */
export async function bringInForce(parts: FollowParts, { config, changed }: Followed): Promise<void> {
  const { kernel, firewall, allowed, network, session, loop } = parts;
  const has = (...keys: readonly Live[]): boolean => keys.some((key) => changed.includes(key));
  if (has('filter', 'echo')) {
    const wish = firewall.dialect.name === 'xtables' ? 'xtables' : 'nftables';
    // In place, for all who ask it: what it renders from now on differs, which the doubt below commits.
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
