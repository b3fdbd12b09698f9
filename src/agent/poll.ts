// Polls a firewall that sends no events when other programs change it: its rules every second, its set
// elements too every tenth time.

import { setImmediate as nextTurn } from 'node:timers/promises';
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
/** One of so many looks compares the set elements too. */
const wholeEvery = 10;
/** A comparison lets other work run after this time. */
const pieceMs = 1;
/** A look that takes this many glances is given up, since no other look starts while it runs. */
const longestLook = 30;
/** How many differences in a row may be put down to our own commits; the next one is a doubt. */
const mostExcuses = 2;

/** Raises a doubt in the loop when the rules differ. Reads again when the kernel could not be read. */
export function pollKernel(parts: PollParts): Disposable {
  const { firewall, loop, rules } = parts;
  if (firewall.glance === null) return { [Symbol.dispose]: () => {} };
  let glances = 0;
  let looks = 0;
  let excuses = 0;
  /** The glance at which the running look is given up; 0 if none runs. */
  let endsAt = 0;
  const look = async (): Promise<void> => {
    const { commits } = rules;
    const differs = looks % wholeEvery === 0 ? await wholeDiffers(parts) : await rulesDiffer(parts);
    const isSure = loop.isAtRest && rules.commits === commits;
    const isExcused = differs && !isSure && excuses < mostExcuses;
    excuses = isExcused ? excuses + 1 : 0;
    // The next look repeats one that was excused, with elements if that one had them.
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

/** Works in pieces: with ten thousand Services it takes tens of milliseconds, and it is not urgent. */
export async function wholeDiffers(parts: Looked): Promise<boolean> {
  const { kernel, firewall, rules } = parts;
  const { glance } = firewall;
  if (glance === null) return false;
  if (await rulesDiffer(parts)) return true;
  const found = await inPieces(await glance.printFound(kernel));
  return found !== (await inPieces(glance.printWanted(rules.elements())));
}

/** Runs the steps, and lets other work of this thread run every `pieceMs`. */
async function inPieces<T>(steps: Steps<T>): Promise<T> {
  let beganAtMs = performance.now();
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (performance.now() - beganAtMs < pieceMs) continue;
    await nextTurn();
    beganAtMs = performance.now();
  }
}

function constantsOf(constants: readonly KernelObject[]): Parameters<typeof diff>[0] {
  return { constants, elements: [], needs: null };
}
