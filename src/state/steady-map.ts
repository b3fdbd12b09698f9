// A map in which a key that comes and goes, over and over, costs the same each time.

/** So many keys that are gone are remembered; those of a Service that flaps are found among them. */
const mostGone = 1024;

/**
 * V8 leaves a removed entry in the chain of its hash bucket until the map is built anew, which a map of
 * 50,000 does after 15,000 removals: until then each look for a key walks over all its former entries. Here a
 * key that goes leaves its entry to itself, for when it comes back: to its old place in the order.
 */
export class SteadyMap<Key, Value extends object> extends Map<Key, Value> {
  /** Entries without a value. */
  #gone = 0;
  /** Their keys, and some that have come back, or were gone more than once. */
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
    return this.entries().map(([key]) => key);
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

  /** Too many are let go of all at once; of fewer each is remembered once. */
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
