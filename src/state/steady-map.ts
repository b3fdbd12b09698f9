// A map in which a key that is removed and added over and over costs the same each time.

/** The most removed keys to remember; the keys of a flapping Service are among them. */
const mostGone = 1024;

/**
 * V8 leaves a removed entry in the chain of its hash bucket until it rebuilds the map, which for 50,000
 * entries takes 15,000 removals; until then each lookup of a key walks over all its former entries. Here a
 * removed key keeps its entry and gets it back, with its place in the order, when the key returns.
 */
export class SteadyMap<Key, Value extends object> extends Map<Key, Value> {
  /** The number of entries without a value. */
  #gone = 0;
  /** The keys of these entries; some have returned since, or occur more than once. */
  #keys: Key[] = [];

  override get size(): number {
    return super.size - this.#gone;
  }

  override has(key: Key): boolean {
    return this.get(key) !== undefined;
  }

  override set(key: Key, value: Value): this {
    if (this.#gone > 0 && this.get(key) === undefined && super.has(key)) this.#gone--;
    return super.set(key, value);
  }

  override delete(key: Key): boolean {
    if (!this.has(key)) return false;
    super.set(key, undefined as never);
    this.#gone++;
    if (this.#keys.push(key) > 2 * mostGone) this.#sweep();
    return true;
  }

  override clear(): void {
    super.clear();
    this.#gone = 0;
    this.#keys = [];
  }

  override keys(): MapIterator<Key> {
    return super.keys().filter((key) => this.has(key));
  }

  override values(): MapIterator<Value> {
    return super.values().filter(isThere);
  }

  override entries(): MapIterator<[Key, Value]> {
    return super.entries().filter(([, value]) => isThere(value));
  }

  override [Symbol.iterator](): MapIterator<[Key, Value]> {
    return this.entries();
  }

  override forEach(visit: (value: Value, key: Key, map: Map<Key, Value>) => void): void {
    for (const [key, value] of this) visit(value, key, this);
  }

  /** Forgets all removed keys if there are too many; otherwise keeps each once. */
  #sweep(): void {
    const gone = [...new Set(this.#keys)].filter((key) => !this.has(key));
    this.#keys = gone.length > mostGone ? [] : gone;
    if (gone.length <= mostGone) return;
    for (const key of gone) super.delete(key);
    this.#gone = 0;
  }
}

function isThere(value: object | undefined): boolean {
  return value !== undefined;
}
