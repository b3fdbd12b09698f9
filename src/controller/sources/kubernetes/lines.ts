// Splits the bytes of a watch into lines, wherever the chunks end. Pure; list-watch.ts is the only caller.

/** An object may have 1.5 MiB in etcd and 3 MiB in a request; as JSON with escapes it stays below this. */
export const lineLimitBytes: number = 16 * 1024 * 1024;

/** A line that is too long or not UTF-8: the watch is started again. */
export class LineError extends Error {
  readonly code = 'BadLine';
}

const newline = 0x0a;

/**
 * Joins chunks into lines. Bytes after the last newline are no line: a stream that ends there was cut off.
 */
export class Lines {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #parts: Uint8Array[] = [];
  #lengthBytes = 0;

  /** The lines that end in this chunk, without empty ones. Throws LineError. */
  *push(chunk: Uint8Array): Generator<string, void> {
    let from = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, from)) {
      this.#add(chunk.subarray(from, end));
      from = end + 1;
      const line = this.#take();
      if (line !== '') yield line;
    }
    // A copy: the chunk may be overwritten, and slice() of a Buffer copies nothing.
    if (from < chunk.length) this.#add(new Uint8Array(chunk.subarray(from)));
  }

  #add(part: Uint8Array): void {
    this.#lengthBytes += part.length;
    if (this.#lengthBytes > lineLimitBytes) throw new LineError(`a line of over ${lineLimitBytes} bytes`);
    this.#parts.push(part);
  }

  #take(): string {
    const [only] = this.#parts;
    const bytes =
      this.#parts.length === 1 && only !== undefined ? only : joined(this.#parts, this.#lengthBytes);
    this.#parts = [];
    this.#lengthBytes = 0;
    try {
      return this.#decoder.decode(bytes);
    } catch (error) {
      throw new LineError(`a line that is not UTF-8: ${(error as Error).message}`);
    }
  }
}

function joined(parts: readonly Uint8Array[], lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
