// Logs what was refused to strangers, at a limited rate: anybody can connect as often as they like, from many
// addresses and with any words, and must not be able to fill the log.

export interface RefusalLogInput<Refused> {
  readonly say: (refused: Refused & { readonly count: number }) => void;
  readonly kindOf: (refused: Refused) => string;
  /** What is said of refusals beyond mostKinds, which are logged together. */
  readonly ofAnyKind: (refused: Refused) => Refused;
  /** Most kinds with lines of their own at a time. */
  readonly mostKinds?: number;
}

/** Least time between two lines of one kind. */
const everyMs = 60_000;
const usualMostKinds = 100;
/** The kind of refusals beyond mostKinds. */
const others = '';

/** The last refusal of a kind, and how many there were since the last line of that kind. */
interface Kind<Refused> {
  readonly count: number;
  readonly last: Refused;
}

/** Logs the first refusal of a kind at once, and later how many followed. */
export class RefusalLog<Refused extends object> {
  readonly #input: RefusalLogInput<Refused>;
  readonly #kinds = new Map<string, Kind<Refused>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(input: RefusalLogInput<Refused>) {
    this.#input = input;
  }

  add(refused: Refused): void {
    const { say, kindOf, ofAnyKind, mostKinds = usualMostKinds } = this.#input;
    const kind = kindOf(refused);
    if (this.#kinds.has(kind)) this.#count(kind, refused);
    else if (this.#kinds.size >= mostKinds) this.#count(others, ofAnyKind(refused));
    else {
      this.#kinds.set(kind, { count: 0, last: refused });
      say({ ...refused, count: 1 });
    }
    this.#timer ??= setTimeout(this.#tell, everyMs).unref();
  }

  #count(kind: string, last: Refused): void {
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
