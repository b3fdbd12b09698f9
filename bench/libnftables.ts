// libnftables in this process, as a Node program would use it: text in, an exit code and messages out.

import koffi from 'koffi';

const file = 'libnftables.so.1';

/** Why libnftables cannot be loaded here, or null. */
export function whyNoLibNftables(): string | null {
  try {
    koffi.load(file).unload();
    return null;
  } catch (error) {
    return `${file}: ${error instanceof Error ? error.message : error}: apt install nftables`;
  }
}

export class LibNftables implements Disposable {
  readonly #library = koffi.load(file);
  readonly #context: unknown;
  readonly #runCommand: (context: unknown, text: string) => number;

  /** Stays in the network namespace that the thread is in when it is made. */
  constructor() {
    this.#context = this.#library.func('void *nft_ctx_new(uint32_t flags)')(0);
    this.#library.func('int nft_ctx_buffer_error(void *context)')(this.#context);
    this.#runCommand = this.#library.func('int nft_run_cmd_from_buffer(void *context, const char *text)');
  }

  /** Runs commands of nft, one per line; throws the message of the library if it refuses one. */
  run(text: string): void {
    if (this.#runCommand(this.#context, text) === 0) return;
    const words = this.#library.func('const char *nft_ctx_get_error_buffer(void *context)');
    throw new Error(`libnftables: ${words(this.#context)}`);
  }

  [Symbol.dispose](): void {
    this.#library.func('void nft_ctx_free(void *context)')(this.#context);
    this.#library.unload();
  }
}
