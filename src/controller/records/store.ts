// Writes the records behind the stream's back: coalesced, and never waited for once the controller rules.

import { type Records, StateError, writeRecords } from './records.ts';

/** How long changes are gathered before they are written. */
const coalesceMs = 200;
/** How soon a write that failed is tried again. */
const retryMs = 5000;

export interface StoreInput {
  readonly dir: string;
  readonly records: () => Records;
  /** A write failed, or, with null, one went through again. Failures of one kind in a row are said once. */
  readonly onTrouble: (error: StateError | null) => void;
}

/** Writes the records some time after each change, one write at a time. */
export class Store {
  /** Why the disk does not have what it should, null while it does. */
  trouble: StateError | null = null;
  readonly #input: StoreInput;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #isDirty = false;

  constructor(input: StoreInput) {
    this.#input = input;
  }

  /** Something changed: write soon. Costs nothing while a write is due already. */
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
      if (this.#isDirty) this.#timer ??= setTimeout(() => void this.#run(), this.#pauseMs()).unref();
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

  #pauseMs(): number {
    return this.trouble === null ? coalesceMs : retryMs;
  }
}
