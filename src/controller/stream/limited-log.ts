// Logs what peers can cause as often as they like, at a limited rate: anybody can connect at any time, from
// many addresses and with any words, and must not be able to fill the log.

export interface LimitedLogInput<Said> {
  readonly say: (said: Said & { readonly count: number }) => void;
  readonly kindOf: (said: Said) => string;
  /** What is said of those beyond mostKinds, which are logged together. */
  readonly ofAnyKind: (said: Said) => Said;
  /** Most kinds with lines of their own at a time. */
  readonly mostKinds?: number;
}

/** Least time between two lines of one kind. */
const everyMs = 60_000;
const usualMostKinds = 100;
/** The kind of those beyond mostKinds. */
const others = '';

/** The last of a kind, and how many there were since the last line of that kind. */
interface Kind<Said> {
  readonly count: number;
  readonly last: Said;
}

/** Logs the first of a kind at once, and later how many followed. */
export class LimitedLog<Said extends object> {
  readonly #input: LimitedLogInput<Said>;
  readonly #kinds = new Map<string, Kind<Said>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(input: LimitedLogInput<Said>) {
    this.#input = input;
  }

  add(said: Said): void {
    const { say, kindOf, ofAnyKind, mostKinds = usualMostKinds } = this.#input;
    const kind = kindOf(said);
    if (this.#kinds.has(kind)) this.#count(kind, said);
    else if (this.#kinds.size >= mostKinds) this.#count(others, ofAnyKind(said));
    else {
      this.#kinds.set(kind, { count: 0, last: said });
      say({ ...said, count: 1 });
    }
    this.#timer ??= setTimeout(this.#tell, everyMs).unref();
  }

  #count(kind: string, last: Said): void {
    this.#kinds.set(kind, { count: (this.#kinds.get(kind)?.count ?? 0) + 1, last });
  }

  /** Logs the kinds that came again and forgets those that did not. */
  readonly #tell = (): void => {
    for (const [kind, { count, last }] of this.#kinds) {
      if (count === 0 || kind === others) this.#kinds.delete(kind);
      else this.#kinds.set(kind, { count: 0, last });
      if (count > 0) this.#input.say({ ...last, count });
    }
    this.#timer = this.#kinds.size === 0 ? undefined : setTimeout(this.#tell, everyMs).unref();
  };
}
