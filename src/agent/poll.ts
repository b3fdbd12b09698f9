// A firewall that says nothing when others change it is looked at again and again: its rules every second,
// and the whole of it every ten.

import { diff, isEmpty } from '../dialects/delta.ts';
import type { KernelObject } from '../dialects/dialect.ts';
import type { Kernel } from '../host/kernel.ts';
import { finished, fnv, fnvBasis } from '../state/hash.ts';
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
  readonly rules: Pick<Rules, 'constants' | 'elementIds'>;
};

async function rulesDiffer({ kernel, firewall, rules }: Looked): Promise<boolean> {
  const found = (await firewall.glance?.constants(kernel)) ?? [];
  return !isEmpty(diff(constantsOf(found), constantsOf(rules.constants())));
}

/** In pieces: at ten thousand Services it is tens of milliseconds of work, and nobody is in a hurry. */
export async function wholeDiffers(parts: Looked): Promise<boolean> {
  const { kernel, firewall, rules } = parts;
  if (firewall.glance === null) return false;
  if (await rulesDiffer(parts)) return true;
  const [found, wanted] = [new Hash(), new Hash()];
  await inPieces(await firewall.glance.elementIds(kernel), (id) => found.add(id));
  await inPieces(rules.elementIds(), (id) => wanted.add(id));
  return !found.equals(wanted);
}

const secondBasis = 0x9747b28c;

/**
 * Which texts there are, in whatever order: how many, and the sums of two hashes of each. A set of 200,000
 * texts costs more than all else in a look.
 */
class Hash {
  #count = 0;
  #first = 0;
  #second = 0;

  add(text: string): void {
    this.#count++;
    this.#first = (this.#first + finished(fnv(fnvBasis, text))) | 0;
    this.#second = (this.#second + finished(fnv(secondBasis, text))) | 0;
  }

  equals(other: Hash): boolean {
    return this.#count === other.#count && this.#first === other.#first && this.#second === other.#second;
  }
}

/** Lets other work of this thread come between, whenever it had to wait for a while. */
async function inPieces<T>(items: Iterable<T>, take: (item: T) => void): Promise<void> {
  let beganAtMs = performance.now();
  for (const item of items) {
    take(item);
    if (performance.now() - beganAtMs < pieceMs) continue;
    await new Promise((resolve) => setImmediate(resolve));
    beganAtMs = performance.now();
  }
}

function constantsOf(constants: readonly KernelObject[]): Parameters<typeof diff>[0] {
  return { constants, elements: [], needs: null };
}
