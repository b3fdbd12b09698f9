// A gate for the writer thread: a lock held on this side, so that a submitted flock waits until it is opened.
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Native, Operation } from '../../src/host/native.ts';
import { NOTHING } from './kernel-bytes.ts';

export const LOCK_EX = 2;

/** A held lock; `fd` is a second descriptor of its file, on which LOCK_EX waits until `open` is called. */
export class Gate implements Disposable {
  readonly path: string;
  readonly fd: number;
  readonly #folder: string;
  #held: number | undefined;

  constructor(native: Native) {
    this.#folder = mkdtempSync(join(tmpdir(), 'vipward-gate-'));
    this.path = join(this.#folder, 'lock');
    this.#held = openSync(this.path, 'w');
    this.fd = openSync(this.path, 'r');
    const locked = native.submit(Operation.flock, this.#held, NOTHING, LOCK_EX, 0, 5_000_000);
    if (locked !== 0) throw new Error(`flock of a new file: ${locked}`);
  }

  open(): void {
    if (this.#held !== undefined) closeSync(this.#held);
    this.#held = undefined;
  }

  [Symbol.dispose](): void {
    this.open();
    closeSync(this.fd);
    rmSync(this.#folder, { recursive: true });
  }
}
