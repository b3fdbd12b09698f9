// What the log has of connections that became no stream. Anybody may come, as often as he likes, from many
// addresses and with any words: how much is said of that is not his to choose.

import type { Ended } from './closed-connections.ts';

/** A connection that was refused, and the address that it came from, where that is known. */
export interface RefusedAgent extends Ended {
  readonly peer: string | null;
}

/** The last of those that are alike, and how many they are since it was said before. */
export interface RefusedAgents extends RefusedAgent {
  readonly count: number;
}

export interface RefusedAgentsInput {
  readonly say: (refused: RefusedAgents) => void;
  /** The least time from one line of a kind to the next. */
  readonly everyMs?: number;
  /** Kinds in that time; those beyond are said together. */
  readonly mostKinds?: number;
}

const usualEveryMs = 60_000;
const usualMostKinds = 100;
/** The kind of all that are one too many. */
const others = '';

interface Kind {
  readonly count: number;
  readonly last: RefusedAgent;
}

/** Of those that come from one address with one code, says the first at once and then how many follow. */
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

  /** What was not heard of again since is forgotten. */
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
