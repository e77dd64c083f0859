// The one write path. A domain function permits, changes rows and says which entries that makes; `write` claims
// the idempotency key first and appends the entries last, in one transaction, and hands them to the publisher
// once they are committed. Whatever else follows from a write is derived from the log.
import type { CallerDatabase, CallOptions, DatabaseCalls, Tx } from '../db/client.ts'
import type { Scope } from '../model/scope.ts'
import { append, cursorOf, type Appended } from '../db/log/feed.ts'
import { claimKey, fillKey, selectKept, type KeptReply } from '../db/log/idempotency.ts'
import type { Entry } from '../model/event.ts'
import { cutTexts, fillTexts } from './stored-reply.ts'
import { requireReadableSubject, type Subject } from './subject.ts'
import type { Publisher } from '../changelog/publisher.ts'
import type { StoredResponse } from '../model/stored-response.ts'
import type { Actor } from '../model/actor.ts'

/** A request's Idempotency-Key and what makes it the same request. */
export interface IdempotencyClaim {
  key: string
  method: string
  path: string
  /** SHA-256 of the body as a JSON value. */
  fingerprint: Uint8Array
  /** The long texts of the body: a repeat brings them itself. */
  texts: () => string[]
}

/** Who writes, and how the edge wants a repeat answered. */
export interface WriteRequest<T> {
  actor: Actor
  claim: IdempotencyClaim | null
  /** The answer for a value, without `Tide-Cursor`. */
  render: (value: T) => StoredResponse
}

/** What a domain function did inside the transaction. */
export interface Effect<T> {
  value: T
  /** Empty if nothing changed. */
  entries: Entry[]
  /** The scope whose position the answer carries; null where there is no single one. */
  cursorScope?: Scope | null
  /** What the answer is about: a repeat is answered only to a caller who may read it then. */
  subject: Subject
}

export type WriteResult<T> =
  /** `loggedBytes`: what the write appended to the log. */
  | { kind: 'done'; value: T; cursor: string | null; loggedBytes: number }
  | { kind: 'replayed'; reply: StoredResponse }

export interface WriteDeps {
  db: CallerDatabase
  publisher: Publisher
}

export interface SystemWriteDeps {
  db: DatabaseCalls
  publisher: Publisher
}

/** Runs `work` as one transaction of the write path. `work` may run more than once (deadlocks): no side effects. */
export const write = async <T>(
  { db, publisher }: WriteDeps,
  { actor, claim, render }: WriteRequest<T>,
  work: (tx: Tx) => Promise<Effect<T>>,
  options: CallOptions = {},
): Promise<WriteResult<T>> => {
  const { outcome, appended } = await db
    .of(actor.userId)
    .transact(async (tx): Promise<{ outcome: WriteResult<T>; appended: Appended | null }> => {
      const kept = claim && (await claimKey(tx, actor.userId, claim))
      if (kept)
        return { outcome: { kind: 'replayed', reply: await replay(tx, actor, claim, kept) }, appended: null }
      const { value, entries, cursorScope = null, subject } = await work(tx)
      const fill = claim && { userId: actor.userId, ...claim, subject, ...cutTexts(render(value), subject) }
      if (entries.length === 0) {
        if (fill) await fillKey(tx, fill)
        return { outcome: { kind: 'done', value, cursor: null, loggedBytes: 0 }, appended: null }
      }
      const appended = await append(tx, entries, { op: claim?.key ?? null, cursorScope, fill })
      const cursor = cursorOf(appended, cursorScope)
      return { outcome: { kind: 'done', value, cursor, loggedBytes: bytesOf(appended) }, appended }
    }, options)
  if (appended) publisher.publish(appended)
  return outcome
}

const bytesOf = ({ entries }: Appended): number =>
  entries.reduce(
    (sum, { frame, changes }) => sum + (frame?.length ?? 0) + (changes ? JSON.stringify(changes).length : 0),
    0,
  )

/**
 * Runs a write that has to check something before its transaction, such as the current password, which a repeat of the
 * same request cannot pass again: the stored answer comes first, and once more before a refusal, because the first
 * request may have committed in between.
 */
export const unlessRepeated = async <T>(
  { db }: Pick<WriteDeps, 'db'>,
  { actor, claim }: WriteRequest<T>,
  run: () => Promise<WriteResult<T>>,
): Promise<WriteResult<T>> => {
  if (!claim) return run()
  const stored = (): Promise<WriteResult<T> | null> =>
    db.of(actor.userId).transact(async (tx) => {
      const kept = await selectKept(tx, actor.userId, claim)
      return kept && { kind: 'replayed', reply: await replay(tx, actor, claim, kept) }
    })
  const earlier = await stored()
  if (earlier) return earlier
  try {
    return await run()
  } catch (error) {
    const meanwhile = await stored()
    if (meanwhile) return meanwhile
    throw error
  }
}

/** 404 where the actor may not read what the stored answer is about any more. */
const replay = async (
  tx: Tx,
  actor: Actor,
  claim: IdempotencyClaim,
  kept: KeptReply,
): Promise<StoredResponse> => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- stored by `write`, from the subject of the first
  const subject = kept.subject as Subject
  await requireReadableSubject(tx, actor, subject)
  return fillTexts(tx, actor, claim, { ...kept, subject })
}

/** What a write without an actor did: there is no answer to repeat, so no subject. */
export type SystemChange<T> = Omit<Effect<T>, 'subject'>

/** The write path without an actor, in the turns of a caller: sign-up, sessions. Nothing to repeat. */
export const writeFor = <T>(
  { db, publisher }: WriteDeps,
  caller: string,
  work: (tx: Tx) => Promise<SystemChange<T>>,
  options: CallOptions = {},
): Promise<T> => writeAsSystem({ db: db.of(caller), publisher }, work, options)

/** The write path for the system itself: the worker. Nothing to repeat, nobody to answer. */
export const writeAsSystem = async <T>(
  { db, publisher }: SystemWriteDeps,
  work: (tx: Tx) => Promise<SystemChange<T>>,
  options: CallOptions = {},
): Promise<T> => {
  const { value, appended } = await db.transact(async (tx) => {
    const { value, entries } = await work(tx)
    return { value, appended: entries.length > 0 ? await append(tx, entries) : null }
  }, options)
  if (appended) publisher.publish(appended)
  return value
}
