// Reads a file as it was at one moment, while other processes may write it.

import { constants, type Stats } from 'node:fs';
import { open } from 'node:fs/promises';
import { DocumentError, fileLimitBytes } from './documents.ts';

/** Time stamps of files are no finer than this on kernels before 6.13. */
const clockTickMs = 20;

/**
 * The text of a file and its stamp; null if it still has the given stamp. Reads again if the file changes
 * meanwhile. Throws DocumentError.
 */
export async function readStable(
  path: string,
  stamp: string | undefined,
): Promise<{ text: string; stamp: string } | null> {
  // A pipe without a writer would keep the opening waiting, and all other files with it.
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  for (;;) {
    const before = await file.stat();
    if (!before.isFile()) throw new DocumentError(null, 'it is no regular file: remove it');
    // A second write within one tick of the file system's clock does not change the stamp: a file written
    // just now is read again.
    if (stampOf(before) === stamp && Date.now() - before.mtimeMs > clockTickMs) return null;
    if (before.size > fileLimitBytes) {
      const message = `${before.size} bytes; at most ${fileLimitBytes} are read: split it into several files`;
      throw new DocumentError(null, message);
    }
    const buffer = Buffer.alloc(before.size);
    const { bytesRead } = await file.read(buffer, 0, before.size, 0);
    const after = stampOf(await file.stat());
    if (after !== stampOf(before)) continue;
    return { text: decode(buffer.subarray(0, bytesRead)), stamp: after };
  }
}

function stampOf({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new DocumentError(null, `not UTF-8 text: ${(error as Error).message}`);
  }
}
