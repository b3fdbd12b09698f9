// Offers a node a VIP that another host answers for. An answer counts within 300 ms of its probe, and the
// test, in which that host runs, may be paused for longer.
import type { Node, Service } from './node.ts';

/** Far less than the time in which an answer counts. */
const mostGapMs = 100;
const [firstHost, lastHost] = [120, 199];

/** The longest pause between the beats of a host. */
export class Rhythm {
  #lastMs: number = performance.now();
  #longestMs = 0;

  beat(): void {
    this.#longestMs = this.longestGapMs;
    this.#lastMs = performance.now();
  }

  get longestGapMs(): number {
    return Math.max(this.#longestMs, performance.now() - this.#lastMs);
  }
}

export interface Present extends Disposable {
  readonly longestGapMs: number;
}

export interface Offered<Who extends Present> extends Disposable {
  readonly service: Service;
  readonly who: readonly Who[];
}

/**
 * Offers a VIP of each family beside other Services, with hosts on the link that `meet` makes for the
 * addresses, until the result is in force. If a host paused for too long meanwhile, the offer is repeated
 * with fresh addresses.
 */
export async function offer<Who extends Present>(
  node: Node,
  others: readonly Service[],
  meet: (addresses: readonly string[]) => readonly Who[],
): Promise<Offered<Who>> {
  for (let host = firstHost; host <= lastHost; host++) {
    const addresses = [`10.77.0.${host}`, `fd77::${host}`];
    const service: Service = { name: 'offered', addresses, ports: ['TCP 80'] };
    using stack = new DisposableStack();
    const who = meet(addresses).map((one) => stack.use(one));
    await node.setServices([...others, service]);
    if (who.every(({ longestGapMs }) => longestGapMs < mostGapMs)) {
      const all = stack.move();
      return { service, who, [Symbol.dispose]: () => all.dispose() };
    }
    await node.setServices(others);
  }
  throw new Error(`in every offer a host paused for ${mostGapMs} ms`);
}
