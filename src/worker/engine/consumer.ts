// What a consumer is to the engine, and what the engine counts of it.
import type { Tx } from '../../db/client.ts'
import type { Entry, LogEntry } from '../../model/event.ts'

export interface Consumer {
  /** The key of its positions in `consumer_cursor`. */
  readonly name: string
  /**
   * Milliseconds between two transactions of a shard with effects, in which entries collect while it keeps up. 0 where it
   * is absent: effects follow their entries at once.
   */
  readonly collectMs?: number
  /** Entries handled in one transaction (100): more only where entries are not appended in return. */
  readonly maxBatch?: number
  /** Where a new name starts: at the heads of the log, or with the oldest entries it has. */
  readonly startsAt?: 'heads' | 'oldest'
  /** Whether the entry can have an effect; the others only move the position. Cheap, and never throws. */
  concerns(entry: LogEntry): boolean
  /**
   * The effects of entries of one shard, in log order. Returns the entries to append, which commit with the effects and
   * the position. Runs again after a rollback: no effects outside the transaction.
   */
  handle(tx: Tx, entries: LogEntry[]): Promise<Entry[]>
  /**
   * The effects of an entry from `dead_letter`, which comes after entries that followed it. In place of `handle` where
   * sums are kept, in a transaction of one snapshot.
   */
  requeue?(tx: Tx, entry: LogEntry): Promise<Entry[]>
}

/** An entry that cannot be judged is handled: that fails too, is counted, and ends in `dead_letter`. */
export const concernsOrFails = (consumer: Consumer, entry: LogEntry): boolean => {
  try {
    return consumer.concerns(entry)
  } catch {
    return true
  }
}

/** Counted since the start, over all shards of a consumer. */
export interface ConsumerStats {
  /** Entries passed, with and without effect. */
  entries: number
  /** Entries that were handled. */
  handled: number
  transactions: number
  failures: number
  deadLetters: number
  lastError: string | null
}

export const newStats = (): ConsumerStats => ({
  entries: 0,
  handled: 0,
  transactions: 0,
  failures: 0,
  deadLetters: 0,
  lastError: null,
})
