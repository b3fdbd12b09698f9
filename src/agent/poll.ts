// A firewall that says nothing when others change it is looked at again and again: its rules every second,
// and the whole of it every ten.

import { diff, isEmpty } from '../dialects/delta.ts';
import type { KernelObject } from '../dialects/dialect.ts';
import type { Kernel } from '../host/kernel.ts';
import type { Firewall } from './firewall.ts';
import type { Loop } from './loop.ts';
import type { Rules } from './rules.ts';

export interface PollParts {
  readonly kernel: Kernel;
  readonly firewall: Firewall;
  readonly loop: Loop;
  readonly rules: Rules;
}

const glanceMs = 1000;
/** Every how many glances the elements are looked at too. */
const wholeEvery = 10;

/**
 * What differs is a doubt, and a doubt is mended by the loop. A kernel that cannot be read is asked again.
 */
export function pollKernel(parts: PollParts): Disposable {
  const { firewall, loop, rules } = parts;
  if (firewall.glance === null) return { [Symbol.dispose]: () => {} };
  let glances = 0;
  let isLooking = false;
  const look = async (): Promise<void> => {
    const { commits } = rules;
    const differs = ++glances % wholeEvery === 0 ? await wholeDiffers(parts) : await rulesDiffer(parts);
    // What was committed meanwhile may be the difference.
    if (differs && loop.settled && rules.commits === commits) loop.doubt('rules');
  };
  const timer = setInterval(() => {
    if (isLooking || !loop.settled) return;
    isLooking = true;
    look()
      .catch(() => undefined)
      .finally(() => {
        isLooking = false;
      });
  }, glanceMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function rulesDiffer({ kernel, firewall, rules }: PollParts): Promise<boolean> {
  const found = (await firewall.glance?.(kernel)) ?? [];
  return !isEmpty(diff(constantsOf(found), constantsOf(rules.constants())));
}

async function wholeDiffers({ kernel, firewall, rules }: PollParts): Promise<boolean> {
  const found = firewall.dialect.decode(await kernel.dump(firewall.dialect.dumps));
  return !isEmpty(diff(found, rules.whole()));
}

function constantsOf(constants: readonly KernelObject[]): Parameters<typeof diff>[0] {
  return { constants, elements: [], needs: null };
}
