// Entries that consumers gave up on. Invariant: an entry is here exactly as long as its consumer is past it and its effects
// are missing: it comes in the transaction that moves the position, and goes in the one that commits the effects.
import type { DeadLetterId } from '../../model/dead-letter-id.ts'
import type { LogEntry } from '../../model/event.ts'
import type { Queryable, Tx } from '../client.ts'
import { errorText } from '../error-text.ts'

export const insertDeadLetter = async (
  tx: Tx,
  letter: { consumer: string; entry: LogEntry; error: string; attempts: number },
): Promise<void> => {
  const { consumer, entry, error, attempts } = letter
  await tx`
    insert into dead_letter (consumer, shard, seq, error, attempts, entry)
    values (
      ${consumer}, ${entry.shard}, ${entry.seq}, ${errorText(error)}, ${attempts}, ${JSON.stringify(entry)}::text::jsonb)`
}

/** Another attempt failed, with this error. */
export const noteFailedAttempt = async (
  tx: Tx,
  { consumer, shard, seq }: DeadLetterId,
  error: string,
): Promise<void> => {
  await tx`
    update dead_letter set error = ${errorText(error)}, attempts = attempts + 1
    where consumer = ${consumer} and shard = ${shard} and seq = ${seq}`
}

/** From here on the transaction reads one snapshot. Must be its first statement. */
export const readOneSnapshot = async (tx: Tx): Promise<void> => {
  await tx`set transaction isolation level repeatable read`
}

/** The entry, whose row is locked until commit; null where there is none, or no more. */
export const lockDeadLetter = async (
  tx: Tx,
  { consumer, shard, seq }: DeadLetterId,
): Promise<LogEntry | null> => {
  const [row] = await tx<{ entry: LogEntry }[]>`
    select entry from dead_letter where consumer = ${consumer} and shard = ${shard} and seq = ${seq}
    for update`
  return row ? { ...row.entry, override: row.entry.override ?? false } : null // earlier versions wrote none
}

export const deleteDeadLetter = async (tx: Tx, { consumer, shard, seq }: DeadLetterId): Promise<void> => {
  await tx`delete from dead_letter where consumer = ${consumer} and shard = ${shard} and seq = ${seq}`
}

/** More are not counted: every probe asks. */
const maxCountedLetters = 10_000

/** Dead letters of all consumers, at most 10,000. */
export const countDeadLetters = async (sql: Queryable): Promise<number> => {
  const [row] = await sql<{ n: number }[]>`
    select count(*) as n from (select from dead_letter limit ${maxCountedLetters}) letters`
  return row!.n
}

export interface DeadLetter extends DeadLetterId {
  failedAt: string
  type: string
  scope: string
  attempts: number
  error: string
}

/** The newest 1,000. */
export const selectDeadLetters = (sql: Queryable): Promise<DeadLetter[]> =>
  sql<DeadLetter[]>`
    select failed_at as "failedAt", consumer, shard, seq, entry->>'type' as type, entry->>'scope' as scope,
      attempts, error
    from dead_letter order by failed_at desc, consumer, shard, seq limit 1000`
