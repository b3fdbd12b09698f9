// Holds back files that would take Services away or look cut off until they have stayed the same for a while.
// Files that go one after another are confirmed together.

/**
 * How long a file must stay the same before its reading counts: it may be half written, and the next file may
 * be about to lose Services too.
 */
const confirmMs = 100;
/** Longest wait for files that go one after another, and the least number of looks in it. */
const mostMs = 1000;
const mostLooks = 10;

export interface SuspectsInput {
  /** Reads every file written so far. */
  readonly settle: () => Promise<void>;
  /** Reads these files once more. */
  readonly readAgain: (files: readonly string[]) => Promise<void>;
  readonly nowMs: () => number;
}

interface Suspect {
  /** The file's state when it became suspect. */
  readonly stamp: string;
  readonly sinceMs: number;
  /** The file has stayed the same for long enough. */
  isRipe: boolean;
}

/** When the wait began, and the number of this look in it. */
interface Look {
  readonly sinceMs: number;
  readonly count: number;
}

export class Suspects {
  readonly #input: SuspectsInput;
  readonly #suspects = new Map<string, Suspect>();
  #isWaiting = false;

  constructor(input: SuspectsInput) {
    this.#input = input;
  }

  /** True if the file has stayed in this state for long enough; otherwise it will be read again. */
  isConfirmed(file: string, stamp: string): boolean {
    const known = this.#suspects.get(file);
    if (known?.stamp === stamp) return known.isRipe;
    this.#suspects.set(file, { stamp, sinceMs: this.#input.nowMs(), isRipe: false });
    this.#begin();
    return false;
  }

  /** The file is accepted, or no longer suspect. */
  delete(file: string): void {
    this.#suspects.delete(file);
  }

  #begin(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#lookIn(confirmMs, { sinceMs: this.#input.nowMs(), count: 1 });
  }

  #lookIn(delayMs: number, look: Look): void {
    setTimeout(() => void this.#look(look), delayMs).unref();
  }

  async #look({ sinceMs, count }: Look): Promise<void> {
    const { settle, readAgain, nowMs } = this.#input;
    // Reads everything written so far: only then it is known which files go together.
    await settle();
    const now = nowMs();
    let waitMs = 0;
    for (const suspect of this.#suspects.values())
      waitMs = Math.max(waitMs, suspect.sinceMs + confirmMs - now);
    if (waitMs > 0 && (count < mostLooks || now - sinceMs < mostMs)) {
      this.#lookIn(Math.ceil(waitMs), { sinceMs, count: count + 1 });
      return;
    }
    this.#isWaiting = false;
    const ripe = [...this.#suspects].filter(([, suspect]) => suspect.sinceMs + confirmMs <= now);
    for (const [, suspect] of ripe) suspect.isRipe = true;
    if (waitMs > 0) this.#begin();
    if (ripe.length > 0) await readAgain(ripe.map(([file]) => file));
  }
}
