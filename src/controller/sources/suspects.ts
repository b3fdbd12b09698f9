// Files that would take Services away, or look cut off: believed when they have stayed so for a while, and
// those that go one after another together.

/**
 * How long a file must stay the same before it is believed: it may be half written, and the next one be about
 * to say the same.
 */
const confirmMs = 100;
/** Files that go one after another are waited for for at most as long, in no fewer looks than these. */
const mostMs = 1000;
const mostLooks = 10;

export interface SuspectsInput {
  /** Reads all that was written by now. */
  readonly settle: () => Promise<void>;
  /** Reads these once more. */
  readonly readAgain: (files: readonly string[]) => Promise<void>;
  readonly nowMs: () => number;
}

interface Suspect {
  /** What the file was when it was seen so first. */
  readonly stamp: string;
  readonly sinceMs: number;
  /** Nothing came after it for long enough. */
  isRipe: boolean;
}

/** How many there were since the first of those that are waited for, and when that came. */
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

  /** True of a file that has stayed so; any other will be read again. */
  isConfirmed(file: string, stamp: string): boolean {
    const known = this.#suspects.get(file);
    if (known?.stamp === stamp) return known.isRipe;
    this.#suspects.set(file, { stamp, sinceMs: this.#input.nowMs(), isRipe: false });
    this.#begin();
    return false;
  }

  /** It is believed, or no suspect any more. */
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
    // Who goes together is known when all that was written is read, however long that takes.
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
