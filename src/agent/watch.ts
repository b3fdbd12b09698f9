// Watches what other programs change in the kernel: the agent then repairs, announces, or commits less often.

import { Message } from '../dialects/nftables/constants.ts';
import { isOurs } from '../dialects/nftables/decode.ts';
import { chainDump } from '../dialects/nftables/dumps.ts';
import { readForeign } from '../dialects/nftables/foreign.ts';
import { listen } from '../host/events.ts';
import type { Kernel } from '../host/kernel.ts';
import type { Native } from '../host/native.ts';
import type { Address } from '../state/address.ts';
import type { Holder } from './addresses/holder.ts';
import type { Network } from './addresses/network.ts';
import type { Firewall } from './firewall/firewall.ts';
import type { Loop } from './loop.ts';
import { commitIntervalMs, type Pace } from './pace.ts';
import type { Session } from './stream/session.ts';

export interface WatchParts {
  readonly native: Native;
  readonly kernel: Kernel;
  readonly firewall: Firewall;
  readonly network: Network;
  readonly holder: Holder;
  readonly loop: Loop;
  readonly session: Session;
}

/**
 * Always watches addresses and interfaces; watches our table only where other processes can change it. Throws
 * SystemCallError.
 */
export function watchKernel(parts: WatchParts): Disposable[] {
  const onLoss = (): void => parts.loop.doubt('events-lost');
  const watches = [
    listen(parts.native, 'network', { onMessage: (message) => onNetwork(parts, message), onLoss }),
  ];
  if (!parts.firewall.owned && parts.firewall.glance === null) {
    const ours = parts.kernel.portId('nfnetlink');
    const onMessage: Parameters<typeof listen>[2]['onMessage'] = (message) => {
      if (message.portId !== ours && message.type !== Message.NEWGEN && isOurs(message))
        parts.loop.doubt('rules');
    };
    watches.push(listen(parts.native, 'nftables', { onMessage, onLoss }));
  }
  return watches;
}

function onNetwork(
  { network, holder, loop, session }: WatchParts,
  message: Parameters<Network['onMessage']>[0],
): void {
  const change = network.onMessage(message);
  const { places } = holder;
  const matter = (address: Address | null): void => {
    if (places.areUnsettled || (address !== null && places.isVip(address))) loop.doubt('network');
  };
  switch (change.kind) {
    case 'address usable':
      holder.arrivals.usable(change.object);
      break;
    case 'carrier':
      holder.announce(change.link.index);
      session.reintroduce();
      if (places.areUnsettled || places.areOn(change.link.index)) loop.doubt('link');
      break;
    case 'down':
      session.reintroduce();
      if (places.areUnsettled || places.areOn(change.link.index)) loop.doubt('link');
      break;
    case 'address preferred':
      if (holder.isHeldAt(change.object)) loop.doubt('address');
      break;
    case 'address gone':
      if (holder.isHeldAt(change.object)) loop.doubt('address');
      else if (change.object.foreign) matter(change.object.address);
      break;
    case 'new':
      session.reintroduce();
      matter(change.address);
      break;
    case 'other':
      break;
    default:
      change satisfies never;
  }
}

/** How often foreign rules are counted, if there was a commit since: an idle agent does not count. */
const recountMs = 2000;
/**
 * Counting takes at most 1/500 of the time, since many chains take long to read. The shorter of the last two
 * counts decides: a busy machine slows down one of them, many chains slow down both.
 */
const countingShare = 500;

/** Keeps the commit interval in proportion to the foreign rules in nf_tables. Throws SystemCallError. */
export async function watchForeignRules(
  kernel: Kernel,
  pace: Pace,
  commits: () => number,
): Promise<Disposable> {
  let [restUntilMs, restMs, lastTookMs] = [0, 0, 0];
  const count = async (): Promise<void> => {
    const beganAtMs = performance.now();
    restUntilMs = Number.POSITIVE_INFINITY;
    try {
      pace.intervalMs = commitIntervalMs(readForeign(await kernel.ask(chainDump())).rules);
      const tookMs = performance.now() - beganAtMs;
      restMs = countingShare * Math.min(tookMs, lastTookMs);
      lastTookMs = tookMs;
    } finally {
      restUntilMs = performance.now() + restMs;
    }
  };
  await count();
  let counted = commits();
  const timer = setInterval(() => {
    if (commits() === counted || performance.now() < restUntilMs) return;
    counted = commits();
    // If the count fails, the last one holds.
    count().catch(() => undefined);
  }, recountMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
