// A firewall that says nothing when others change it is looked at again and again: its rules every second,
// and the whole of it every ten.

import { diff, isEmpty } from '../dialects/delta.ts';
import type { KernelObject } from '../dialects/dialect.ts';
import type { Kernel } from '../host/kernel.ts';
import type { Firewall, Steps } from './firewall/firewall.ts';
import type { Loop } from './loop.ts';
import type { Rules } from './rules/rules.ts';

export interface PollParts {
  readonly kernel: Kernel;
  readonly firewall: Firewall;
  readonly loop: Loop;
  readonly rules: Rules;
}

const glanceMs = 1000;
/** Every how many glances the elements are looked at too. */
const wholeEvery = 10;
/** For so long nothing else gets its turn. */
const pieceMs = 1;
/** A look that is not over after so many glances is given up, for while it lasts nobody looks. */
const longestLook = 30;
/** Differences that may have been committed meanwhile; the one behind them is a doubt all the same. */
const mostExcuses = 2;

/**
 * What differs is a doubt, and a doubt is mended by the loop. A kernel that cannot be read is asked again.
 */
export function pollKernel(parts: PollParts): Disposable {
  const { firewall, loop, rules } = parts;
  if (firewall.glance === null) return { [Symbol.dispose]: () => {} };
  let glances = 0;
  let looks = 0;
  let excuses = 0;
  /** The glance at which a look that is still under way is given up; 0 while there is none. */
  let endsAt = 0;
  const look = async (): Promise<void> => {
    const { commits } = rules;
    const differs = looks % wholeEvery === 0 ? await wholeDiffers(parts) : await rulesDiffer(parts);
    const isSure = loop.isAtRest && rules.commits === commits;
    const isExcused = differs && !isSure && excuses < mostExcuses;
    excuses = isExcused ? excuses + 1 : 0;
    // What could not be told is looked at again, as closely.
    if (isExcused) looks--;
    else if (differs) loop.doubt('rules');
  };
  const timer = setInterval(() => {
    if (++glances < endsAt || !loop.isAtRest) return;
    looks++;
    const until = glances + longestLook;
    endsAt = until;
    look()
      .catch(() => {
        looks--;
      })
      .finally(() => {
        if (endsAt === until) endsAt = 0;
      });
  }, glanceMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

type Looked = Pick<PollParts, 'kernel' | 'firewall'> & {
  readonly rules: Pick<Rules, 'constants' | 'elements'>;
};

async function rulesDiffer({ kernel, firewall, rules }: Looked): Promise<boolean> {
  const found = (await firewall.glance?.constants(kernel)) ?? [];
  return !isEmpty(diff(constantsOf(found), constantsOf(rules.constants())));
}

/** In pieces: at ten thousand Services it is tens of milliseconds of work, and nobody is in a hurry. */
export async function wholeDiffers(parts: Looked): Promise<boolean> {
  const { kernel, firewall, rules } = parts;
  const { glance } = firewall;
  if (glance === null) return false;
  if (await rulesDiffer(parts)) return true;
  const found = await inPieces(await glance.printFound(kernel));
  return found !== (await inPieces(glance.printWanted(rules.elements())));
}

/** Lets other work of this thread come between, whenever it had to wait for a while. */
async function inPieces<T>(steps: Steps<T>): Promise<T> {
  let beganAtMs = performance.now();
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (performance.now() - beganAtMs < pieceMs) continue;
    await new Promise((resolve) => setImmediate(resolve));
    beganAtMs = performance.now();
  }
}

function constantsOf(constants: readonly KernelObject[]): Parameters<typeof diff>[0] {
  return { constants, elements: [], needs: null };
}
