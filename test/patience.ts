// How long a test waits for a condition. An emulated machine is slower by the factor VIPWARD_TEST_PATIENCE;
// nothing is ever asserted about the time itself.
import { type EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

const factor = Number(process.env['VIPWARD_TEST_PATIENCE'] ?? 1);

/** Milliseconds that are enough here, scaled to the machine that runs the test. */
export function patient(ms: number): number {
  return ms * factor;
}

/** So many random runs of a property, or fewer on an emulated machine. */
export function runs(most: number): { readonly numRuns: number } {
  return { numRuns: Math.ceil(most / factor) };
}

/** Far longer than anything takes that a test waits for. */
const hopelessMs: number = patient(60_000);
const mostBetweenMs = 20;

export type Holds = () => Promise<boolean> | boolean;

/**
 * Waits until something holds. If it does not for a long while, or keeps throwing, the wait fails with its
 * name, the last error and `words`: an endless loop would keep its process from ending.
 */
export async function until(
  what: string,
  holds: Holds,
  words: () => Promise<string> | string = () => '',
): Promise<void> {
  const beganAtMs = performance.now();
  for (;;) {
    let failure = '';
    try {
      if (await holds()) return;
    } catch (error) {
      failure = `${error}\n`;
    }
    const waitedMs = performance.now() - beganAtMs;
    if (waitedMs > hopelessMs) throw new Error(`waited for: ${what}\n${failure}${await words()}`);
    // Looks often at first, because most conditions hold soon.
    await sleep(Math.min(mostBetweenMs, Math.max(1, waitedMs / 20)));
  }
}

/** The same for a condition whose own text says what it is. */
export function untilTrue(holds: Holds): Promise<void> {
  return until(`${holds}`, holds);
}

/**
 * Looks whenever `changed` emits 'change', so that no state is missed that lasts for a moment. A condition
 * that throws ends it.
 */
export async function untilChanged(
  changed: EventEmitter,
  holds: () => boolean,
  what: string = `${holds}`,
): Promise<void> {
  const signal = AbortSignal.timeout(hopelessMs);
  while (!holds()) {
    await once(changed, 'change', { signal }).catch(() => {
      throw new Error(`waited for: ${what}`);
    });
  }
}
