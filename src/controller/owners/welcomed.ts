// The nodes that the present generation has welcomed. A host can make up any number of names, so they are
// bounded.

/** Most names that are kept, unless more of them are of nodes that the controller knows. */
export const mostWelcomed = 10_000;

export class Welcomed {
  readonly #isKnown: (node: string) => boolean;
  /** The last welcomed ones come last. */
  readonly #names = new Set<string>();

  constructor(isKnown: (node: string) => boolean) {
    this.#isKnown = isKnown;
  }

  has(node: string): boolean {
    return this.#names.has(node);
  }

  /** The node is told our generation: its next hello may name it. */
  add(node: string): void {
    this.#names.delete(node);
    this.#names.add(node);
    if (this.#names.size <= mostWelcomed) return;
    const made = this.#names.values().find((name) => name !== node && !this.#isKnown(name));
    if (made !== undefined) this.#names.delete(made);
  }

  /** Another generation begins. */
  clear(): void {
    this.#names.clear();
  }
}
