// A VIP that somebody else answers for, offered to a node while he does so in time: what he says counts
// within 300 ms of its question, and the test in which he lives may not be let run for longer.
import type { Node, Service } from './node.ts';

/** Far less than a question is open for. */
const mostGapMs = 100;
const [firstHost, lastHost] = [120, 199];

/** How long somebody has paused at most, in what he does again and again. */
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
 * Offers a VIP of each family beside other Services, to somebody whom `meet` makes for their addresses, until
 * what the node finds is in force. Where he paused for too long meanwhile, all is done again with addresses
 * that nobody has had yet.
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
  throw new Error(`whatever was offered, somebody did nothing for ${mostGapMs} ms`);
}
