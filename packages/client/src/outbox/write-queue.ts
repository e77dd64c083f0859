// Unsettled writes in the order they were made, in memory and in the storage. Invariant: an entry leaves the queue once,
// and its `settled` promise settles then.
import type { Task } from '../../../../src/model/task.ts'
import { createEntry, type OutboxEntry } from './outbox-entry.ts'
import type { PendingWrite } from './overlay.ts'

/** The same as `OutboxStorage`, which outbox.ts declares for programs. */
interface WriteStorage {
  load(): Promise<PendingWrite[]>
  put(write: PendingWrite): Promise<void>
  remove(op: string): Promise<void>
}

export class WriteQueue {
  #entries: OutboxEntry[] = []
  #order = 0
  #loading: Promise<void> | null = null

  constructor(
    private readonly storage: WriteStorage,
    /** Ends the queue: what is loaded later is not added. */
    private readonly signal: AbortSignal,
    private readonly changed: () => void,
  ) {}

  get size(): number {
    return this.#entries.length
  }

  entries(): readonly OutboxEntry[] {
    return this.#entries
  }

  includes(entry: OutboxEntry): boolean {
    return this.#entries.includes(entry)
  }

  /** A number above those of all earlier writes, also of earlier runs where the clock was not set back. */
  nextOrder(): number {
    return (this.#order = Math.max(this.#order + 1, Date.now()))
  }

  add(entry: OutboxEntry): void {
    this.#entries.push(entry)
    this.changed()
  }

  /** Adds the stored writes of earlier runs; reads them once, again if that failed. */
  ensureLoaded(): Promise<void> {
    return (this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = null
      throw error
    }))
  }

  async store({ write }: OutboxEntry): Promise<void> {
    await this.ensureLoaded()
    await this.storage.put(write)
  }

  update(write: PendingWrite): Promise<void> {
    this.changed()
    return this.storage.put(write)
  }

  /** The effect of the write is known: if this fails, its key makes sending it again harmless. */
  async removeFromStorage({ write }: OutboxEntry): Promise<void> {
    await this.storage.remove(write.op).catch(() => {})
  }

  settle(entry: OutboxEntry, value: Task | null): void {
    this.#remove(entry)
    entry.result.resolve(value)
  }

  /** False if the entry has left the queue already, as when it was purged while it was being sent. */
  reject(entry: OutboxEntry, error: Error): boolean {
    if (!this.includes(entry)) return false
    this.#remove(entry)
    entry.result.reject(error)
    return true
  }

  /** Rejects every write and empties the queue; the storage keeps them. */
  close(error: Error): void {
    for (const { result } of this.#entries) result.reject(error)
    this.#entries = []
  }

  async #load(): Promise<void> {
    const stored = (await this.storage.load()).sort((a, b) => a.order - b.order)
    const known = new Set(this.#entries.map(({ write }) => write.op))
    if (this.signal.aborted) return
    const older = stored.filter(({ op }) => !known.has(op)).map((write) => createEntry(write, 'queued'))
    this.#entries.unshift(...older)
    this.#order = Math.max(this.#order, ...stored.map(({ order }) => order))
    this.changed()
  }

  #remove(entry: OutboxEntry): void {
    this.#entries = this.#entries.filter((one) => one !== entry)
    this.changed()
  }
}
