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

/** Entries are linked from the least to the most recently used one. */
interface Entry<K, V> {
  readonly key: K
  readonly value: V
  weight: number
  older: Entry<K, V> | null
  newer: Entry<K, V> | null
  /** Of `ttlMs`. It ends with the entry: a timer holds its entry, and so would make the bounds meaningless. */
  timer: ReturnType<typeof setTimeout> | undefined
}

/**
 * Using an entry moves it to the end of a linked list. Deleting and setting it again in the map, whose own order would
 * do, leaves a hole at each use, for which the runtime rebuilds the map over and over.
 */
export class BoundedCache<K, V> {
  readonly #entries = new Map<K, Entry<K, V>>()
  #oldest: Entry<K, V> | null = null
  #newest: Entry<K, V> | null = null
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
    if (entry !== this.#newest) {
      this.#unlink(entry)
      this.#append(entry)
    }
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
    const entry: Entry<K, V> = { key, value, weight, older: null, newer: null, timer: undefined }
    this.#entries.set(key, entry)
    this.#append(entry)
    this.#weight += weight
    const { ttlMs } = this.options
    if (ttlMs !== undefined) {
      entry.timer = setTimeout(() => this.#remove(entry), ttlMs)
      entry.timer.unref()
    }
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
    if (entry && (expected === undefined || entry.value === expected)) this.#remove(entry)
  }

  /** Drops everything without `onDrop`. */
  clear(): void {
    for (const { timer } of this.#entries.values()) clearTimeout(timer)
    this.#entries.clear()
    this.#oldest = null
    this.#newest = null
    this.#weight = 0
  }

  #enforceBounds(): void {
    const { maxEntries, maxWeight = Infinity } = this.options
    while (this.#oldest && (this.#entries.size > maxEntries || this.#weight > maxWeight))
      this.#remove(this.#oldest)
  }

  #remove(entry: Entry<K, V>): void {
    clearTimeout(entry.timer)
    this.#entries.delete(entry.key)
    this.#unlink(entry)
    this.#weight -= entry.weight
    this.options.onDrop?.(entry.key, entry.value)
  }

  #append(entry: Entry<K, V>): void {
    entry.older = this.#newest
    entry.newer = null
    if (this.#newest) this.#newest.newer = entry
    else this.#oldest = entry
    this.#newest = entry
  }

  #unlink(entry: Entry<K, V>): void {
    if (entry.older) entry.older.newer = entry.newer
    else this.#oldest = entry.newer
    if (entry.newer) entry.newer.older = entry.older
    else this.#newest = entry.older
  }
}
