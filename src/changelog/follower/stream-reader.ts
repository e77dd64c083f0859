// The blocking connection: one XREAD over the streams of all shards. Invariant: a read ends within its deadline, and the
// next read replaces a connection that missed the deadline or failed.
import { Deadline } from '../../async/timeout.ts'
import type { LogEntry } from '../../model/event.ts'
import type { RedisConnection } from '../../redis/connection.ts'
import { streamKey } from '../stream.ts'
import { decodeEntry, type RawEntry } from '../stream-entry.ts'

export interface StreamBatch {
  shard: number
  entries: LogEntry[]
}

const maxEntriesPerShard = 500
const blockMs = 1_000
/** Redis answers after `blockMs` at the latest; past this deadline the connection counts as dead. */
const deadlineMs = blockMs + 1_000

export class StreamReader implements AsyncDisposable {
  #connection: RedisConnection | null = null
  #deadline: Deadline | null = null

  constructor(private readonly connect: () => RedisConnection) {}

  /**
   * Waits up to a second for entries above `after[shard]` in any stream of the epoch. One read at a time. Throws
   * when Redis does not answer in time or `interrupt` is called.
   */
  async read(epoch: string, after: readonly number[]): Promise<StreamBatch[]> {
    const { client } = (this.#connection ??= this.connect())
    const keys = after.map((_, shard) => streamKey(epoch, shard))
    const ids = after.map((seq) => `${seq}-0`)
    using deadline = new Deadline(deadlineMs, () => new Error(`no answer to XREAD in ${deadlineMs} ms`))
    this.#deadline = deadline
    try {
      const reading = client.xread('COUNT', maxEntriesPerShard, 'BLOCK', blockMs, 'STREAMS', ...keys, ...ids)
      const reply = await deadline.race(reading)
      return (reply ?? []).map(([key, raw]) => toBatch(keys.indexOf(key), raw))
    } catch (error) {
      await this.#reset()
      throw error
    }
  }

  /** Makes the read in flight throw. */
  interrupt(): void {
    this.#deadline?.fail(new Error('interrupted'))
  }

  async #reset(): Promise<void> {
    const connection = this.#connection
    this.#connection = null
    await connection?.[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.interrupt()
    await this.#reset()
  }
}

const toBatch = (shard: number, raw: RawEntry[]): StreamBatch => ({
  shard,
  entries: raw.map((entry) => decodeEntry(shard, entry)),
})
