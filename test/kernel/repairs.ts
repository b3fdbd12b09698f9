// Damage by other programs, and its repair: by an event of the kernel, and not because the agent looks again
// some time later.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Sockets } from '../agent/life.ts';
import type { Node, Service } from './node.ts';
import { holdTimers } from './timers.ts';

export const vips = ['10.77.0.100', 'fd77::100'] as const;
export const dns: Service = { name: 'dns', addresses: vips, ports: ['UDP 53'] };
export const web: Service = { name: 'web', addresses: ['10.77.0.101'], ports: ['TCP 80'] };

interface Damage {
  readonly harm: string;
  readonly isWell: () => Promise<boolean>;
  /** The kernel sends no event of it, and the agent polls. */
  readonly isPolled?: boolean;
}

/** Runs a harmful command, waits for the repair, and prints how long that took. */
export async function mended(t: TestContext, node: Node, { harm, isWell, isPolled }: Damage): Promise<void> {
  using _ = isPolled === true ? undefined : holdTimers(node);
  const beganAtMs = performance.now();
  node.run(harm);
  const doneAtMs = performance.now();
  await node.until(`repaired: ${harm}`, isWell);
  const [all, since] = [beganAtMs, doneAtMs].map((atMs) => (performance.now() - atMs).toFixed(1));
  t.diagnostic(`${harm}: right again ${since} ms after it had ended, ${all} ms after it began`);
}

export async function hasAll(sockets: Sockets): Promise<boolean> {
  const made = await sockets.made();
  return vips.every((vip) => made.has(vip));
}

export async function problemsOf(node: Node): Promise<string> {
  return (await node.status()).problems.join();
}

export async function answersAsDeclared(node: Node): Promise<void> {
  for (const vip of vips) {
    assert.equal(await node.probe('udp', vip, 53), 'open', vip);
    assert.equal(await node.probe('udp', vip, 54), 'closed', vip);
  }
}
