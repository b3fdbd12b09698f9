// Logs connections that became no stream, at a limited rate: anybody can connect as often as they like, from
// many addresses and with any words, and must not be able to fill the log.

import type { Ended } from './closed-connections.ts';

/** A refused connection and its peer address, if known. */
export interface RefusedAgent extends Ended {
  readonly peer: string | null;
}

/** The last refused connection of a kind, and how many there were since the last line of that kind. */
export interface RefusedAgents extends RefusedAgent {
  readonly count: number;
}

export interface RefusedAgentsInput {
  readonly say: (refused: RefusedAgents) => void;
  /** Least time between two lines of one kind. */
  readonly everyMs?: number;
  /** Most kinds in that time; connections of further kinds are logged together. */
  readonly mostKinds?: number;
}

const usualEveryMs = 60_000;
const usualMostKinds = 100;
/** The kind of connections beyond mostKinds. */
const others = '';

interface Kind {
  readonly count: number;
  readonly last: RefusedAgent;
}

/** Logs the first connection of a kind (one code, one peer address) at once, and later how many followed. */
export class RefusedAgentLog {
  readonly #input: RefusedAgentsInput;
  readonly #kinds = new Map<string, Kind>();
  #timer: NodeJS.Timeout | undefined;

  constructor(input: RefusedAgentsInput) {
    this.#input = input;
  }

  add(refused: RefusedAgent): void {
    const { say, everyMs = usualEveryMs, mostKinds = usualMostKinds } = this.#input;
    const key = `${refused.code} ${refused.peer}`;
    const known = this.#kinds.get(key);
    if (known === undefined && this.#kinds.size < mostKinds) {
      this.#kinds.set(key, { count: 0, last: refused });
      say({ ...refused, count: 1 });
    } else {
      const last = known === undefined ? { ...refused, node: null, peer: null } : refused;
      const kind = known === undefined ? others : key;
      this.#kinds.set(kind, { count: (this.#kinds.get(kind)?.count ?? 0) + 1, last });
    }
    this.#timer ??= setTimeout(this.#tell, everyMs).unref();
  }

  /** Logs the kinds that came again and forgets those that did not. */
  readonly #tell = (): void => {
    const { say, everyMs = usualEveryMs } = this.#input;
    for (const [key, { count, last }] of this.#kinds) {
      if (count === 0 || key === others) this.#kinds.delete(key);
      else this.#kinds.set(key, { count: 0, last });
      if (count > 0) say({ ...last, count });
    }
    this.#timer = this.#kinds.size === 0 ? undefined : setTimeout(this.#tell, everyMs).unref();
  };
}
