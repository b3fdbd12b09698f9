// Writes the records in the background: it gathers changes, and a ruling controller never waits for it.

import { type Records, StateError, writeRecords } from './records.ts';

/** How long changes are gathered before they are written. */
const coalesceMs = 200;
/** How soon a failed write is tried again. */
const retryMs = 5000;

export interface StoreInput {
  readonly dir: string;
  readonly records: () => Records;
  /**
   * Called when a write fails, and with null when a write succeeds again. Equal failures in a row are
   * reported once.
   */
  readonly onTrouble: (error: StateError | null) => void;
}

/** Writes the records some time after each change, one write at a time. */
export class Store {
  /** The error of the last write; null if it succeeded. */
  trouble: StateError | null = null;
  readonly #input: StoreInput;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #isDirty = false;

  constructor(input: StoreInput) {
    this.#input = input;
  }

  /** Schedules a write. Costs nothing while one is due already. */
  touch(): void {
    this.#isDirty = true;
    this.#timer ??= setTimeout(() => void this.#run(), coalesceMs).unref();
  }

  /** Resolves when everything touched so far is on the disk, or could not be written. */
  async flush(): Promise<void> {
    await this.#writing;
    if (this.#isDirty) await this.#run();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #run(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
      const pauseMs = this.trouble === null ? coalesceMs : retryMs;
      if (this.#isDirty) this.#timer ??= setTimeout(() => void this.#run(), pauseMs).unref();
    });
    return this.#writing;
  }

  async #write(): Promise<void> {
    this.#isDirty = false;
    const { dir, records, onTrouble } = this.#input;
    const before = this.trouble;
    try {
      await writeRecords(dir, records());
      this.trouble = null;
    } catch (error) {
      if (!(error instanceof StateError)) throw error;
      this.trouble = error;
      this.#isDirty = true;
    }
    if (before?.message !== this.trouble?.message) onTrouble(this.trouble);
  }
}
