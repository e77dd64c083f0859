// Items of a scope by id under the version rule: a value is replaced only by a higher version, and deletions keep their
// version. So repeated and reordered events have their effect once.

interface VersionedValue<T> {
  version: number
  /** Null once deleted. */
  value: T | null
}

/** Null stands for a deletion. */
export type VersionedItem<T> = readonly [id: string, version: number, value: T | null]

export class VersionedMap<T> {
  #items = new Map<string, VersionedValue<T>>()

  /** Replaces everything by a snapshot's items. */
  reset(items: Iterable<VersionedItem<T>>): void {
    this.#items = new Map()
    for (const [id, version, value] of items) this.#items.set(id, { version, value })
  }

  /** Takes a value, or null for a deletion. False if the version is not newer. */
  put(id: string, version: number, value: T | null): boolean {
    const held = this.#items.get(id)
    if (held && held.version >= version) return false
    this.#items.set(id, { version, value })
    return true
  }

  /** Replaces the value of an existing item at its version: another view received it. */
  replaceValue(id: string, value: T): void {
    const held = this.#items.get(id)
    if (held && held.value !== null) held.value = value
  }

  /** Removes an item without remembering its version: it may come back unchanged. */
  remove(id: string): void {
    this.#items.delete(id)
  }

  /** With the deletions that are remembered. */
  get size(): number {
    return this.#items.size
  }

  get(id: string): T | null {
    return this.#items.get(id)?.value ?? null
  }

  /** The version of an item, deleted or not; 0 for an unknown one. */
  versionOf(id: string): number {
    return this.#items.get(id)?.version ?? 0
  }

  /** All items with the remembered deletions: what `reset` takes. */
  items(): VersionedItem<T>[] {
    return Array.from(this.#items, ([id, { version, value }]) => [id, version, value])
  }

  *values(): IterableIterator<T> {
    for (const { value } of this.#items.values()) if (value !== null) yield value
  }

  /** Forgets deletions: no event from before them can arrive any more. */
  dropDeletions(): void {
    for (const [id, { value }] of this.#items) if (value === null) this.#items.delete(id)
  }
}
