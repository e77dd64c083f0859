// The one LRU map of src: bounded in entries, and in weight where entries differ in size. Invariant: both bounds hold
// after every call; the least recently used entry is dropped first.

export interface BoundedCacheOptions<K, V> {
  maxEntries: number
  /** Of all entries together, in the unit of `weightOf`; the heaviest alone may be dropped at once. */
  maxWeight?: number
  /** Entries are dropped this long after they were set, used or not. */
  ttlMs?: number
  /** Called whenever an entry leaves: by `delete`, because of a bound or its age, or replaced by another value. */
  onDrop?: (key: K, value: V) => void
}

export class BoundedCache<K, V> {
  /** Least recently used first. */
  readonly #entries = new Map<K, { value: V; weight: number }>()
  #weight = 0

  constructor(private readonly options: BoundedCacheOptions<K, V>) {}

  get size(): number {
    return this.#entries.size
  }

  /** Of all entries. */
  get weight(): number {
    return this.#weight
  }

  /** The value, which becomes the most recently used; undefined where there is none. */
  get(key: K): V | undefined {
    const entry = this.#entries.get(key)
    if (!entry) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return entry.value
  }

  /** The value without using it. */
  peek(key: K): V | undefined {
    return this.#entries.get(key)?.value
  }

  getOrCreate(key: K, create: () => V): V {
    const held = this.get(key)
    if (held !== undefined) return held
    const value = create()
    this.set(key, value)
    return value
  }

  set(key: K, value: V, weight = 0): void {
    this.delete(key)
    this.#entries.set(key, { value, weight })
    this.#weight += weight
    const { ttlMs } = this.options
    if (ttlMs !== undefined) setTimeout(() => this.delete(key, value), ttlMs).unref()
    this.#enforceBounds()
  }

  /** For a weight that becomes known later; does nothing where the value is no longer held under the key. */
  reweigh(key: K, value: V, weight: number): void {
    const entry = this.#entries.get(key)
    if (entry?.value !== value) return
    this.#weight += weight - entry.weight
    entry.weight = weight
    this.#enforceBounds()
  }

  /** Removes the entry, if its value still is `expected` where that is given. */
  delete(key: K, expected?: V): void {
    const entry = this.#entries.get(key)
    if (entry && (expected === undefined || entry.value === expected)) this.#remove(key, entry)
  }

  /** Drops everything without `onDrop`. */
  clear(): void {
    this.#entries.clear()
    this.#weight = 0
  }

  #enforceBounds(): void {
    const { maxEntries, maxWeight = Infinity } = this.options
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= maxEntries && this.#weight <= maxWeight) return
      this.#remove(oldest, entry)
    }
  }

  #remove(key: K, { value, weight }: { value: V; weight: number }): void {
    this.#entries.delete(key)
    this.#weight -= weight
    this.options.onDrop?.(key, value)
  }
}
