// The one write path. A domain function authorizes, changes rows and returns the entries of its changes; `write` runs
// it as one transaction of claim, work and append, and gives the committed entries to the publisher. Everything else
// that follows from a write (sockets, notifications, caches) is derived from the log.
import type { Publisher } from '../changelog/publisher.ts'
import { systemCaller, type CallerDatabase, type CallOptions, type Tx } from '../db/client.ts'
import { append, type Appended } from '../db/log/append.ts'
import {
  claimIdempotencyKey,
  selectStoredResponse,
  type ClaimedResponse,
  type CompactResponse,
  type IdempotencyKey,
} from '../db/log/idempotency.ts'
import { systemActor, type Actor, type SystemActor } from '../model/actor.ts'
import type { Entry } from '../model/event.ts'
import type { Scope } from '../model/scope.ts'
import type { StoredResponse } from '../model/stored-response.ts'
import { activeTrace } from '../tracing/spans.ts'
import { extractLongTexts, restoreLongTexts } from './response-texts.ts'
import { requireReadableSubject, type Subject } from './subject.ts'

/** A request's Idempotency-Key, what makes a later request the same, and how its response is rendered. */
export interface IdempotencyClaim<T> extends IdempotencyKey {
  /** The long texts of the request's body: an equal request carries them again. */
  texts: () => string[]
  /** Renders the response that is stored and returned, without `Tide-Cursor`. No side effects. */
  toResponse: (value: T) => StoredResponse
}

/** Who writes, and the key the request claims; null for a request without one. */
export interface WriteRequest<T> {
  actor: Actor
  claim: IdempotencyClaim<T> | null
}

/** A write with a key. */
export interface KeyedWrite<T> {
  actor: Actor
  claim: IdempotencyClaim<T>
}

/** A write that claims no key, and so replays nothing. Only here the actor may be the system. */
export interface UnclaimedWrite {
  actor: Actor | SystemActor
  claim: null
}

/** A write of the process itself: only for what no request and no frame causes. */
export const systemWrite: UnclaimedWrite = { actor: systemActor, claim: null }

/** What a domain function did inside the transaction. */
export interface Effect<T> {
  value: T
  /** Empty if nothing changed. */
  entries: Entry[]
  /** The scope whose position the response carries; null where there is no single one. */
  cursorScope?: Scope | null
  /** What the response is about: it is replayed only to an actor who may read this then. */
  subject: Subject
}

/** Without a claim no response is stored, so it needs no subject. */
export type UnclaimedEffect<T> = Omit<Effect<T>, 'subject'>

/** A committed write. */
export interface Written<T> {
  kind: 'written'
  value: T
  /** Null where nothing was appended to `cursorScope`. */
  cursor: string | null
  /** Bytes the write appended to the log. */
  loggedBytes: number
  /** What the claim's `toResponse` rendered; null without a claim. */
  response: StoredResponse | null
}

export type WriteResult<T> = Written<T> | { kind: 'replayed'; response: StoredResponse }

export interface WriteDeps {
  db: CallerDatabase
  publisher: Publisher
}

/**
 * Runs `work` as one transaction of the write path. `work` may run more than once (deadlocks): no effects but SQL.
 *
 * The order of the statements decides what concurrent requests observe. The claim is the first: an equal request
 * blocks on the row until this one commits or rolls back, and then replays or runs; checking for a stored response
 * before the transaction lets two equal requests both run. The append is the last: it holds the heads of its shards
 * until commit, so a statement after it would add its time to every other write of those shards. The response is
 * rendered in between, once, and stored by the append, because it carries the cursor that the append decides: what is
 * stored and what is sent are the same text. Publishing follows the commit and is not awaited: entries that a crash
 * here leaves unpublished are in the log, from where the sweeper pushes them.
 */
export function write<T>(
  deps: WriteDeps,
  request: UnclaimedWrite,
  work: (tx: Tx) => Promise<UnclaimedEffect<T>>,
  options?: CallOptions,
): Promise<Written<T>>
export function write<T>(
  deps: WriteDeps,
  request: WriteRequest<T>,
  work: (tx: Tx) => Promise<Effect<T>>,
  options?: CallOptions,
): Promise<WriteResult<T>>
export async function write<T>(
  { db, publisher }: WriteDeps,
  request: WriteRequest<T> | UnclaimedWrite,
  work: (tx: Tx) => Promise<UnclaimedEffect<T> & { subject?: Subject }>,
  options: CallOptions = {},
): Promise<WriteResult<T>> {
  const keyed = request.claim && { actor: request.actor, claim: request.claim }
  const trace = activeTrace()
  const { result, appended } = await db
    .of(callerOf(request.actor))
    .transact(async (tx): Promise<{ result: WriteResult<T>; appended: Appended | null }> => {
      const stored = keyed && (await claimIdempotencyKey(tx, keyed.actor.userId, keyed.claim))
      if (stored) return { result: await replay(tx, keyed, stored), appended: null }
      const { value, entries, cursorScope = null, subject } = await work(tx)
      const response = keyed && keyed.claim.toResponse(value)
      const claimed = response && claimedResponse(keyed, response, subject!)
      const overrides = request.actor.userId === null ? undefined : request.actor.overrides
      const op = keyed?.claim.key ?? null
      const appended = await append(tx, entries, { op, cursorScope, claimed, overrides, trace })
      const { cursor, loggedBytes } = appended
      return { result: { kind: 'written', value, response, cursor, loggedBytes }, appended }
    }, options)
  if (appended) publisher.publish(appended)
  return result
}

/** The row to store: the claimed key and the response without its long texts. */
export const claimedResponse = <T>(
  { actor, claim }: KeyedWrite<T>,
  response: StoredResponse,
  subject: Subject,
): ClaimedResponse => {
  const { key, method, path, fingerprint } = claim
  return {
    userId: actor.userId,
    key,
    method,
    path,
    fingerprint,
    ...extractLongTexts(response, subject),
    subject,
  }
}

export const callerOf = (actor: Actor | SystemActor): string | typeof systemCaller =>
  actor.userId ?? actor.caller ?? systemCaller

/**
 * Runs a write that checks something before its transaction which an equal request cannot pass again, such as the
 * current password. The stored response is looked up before the check, and again before the check's error is thrown,
 * because the first request may have committed in between.
 */
export const withEarlyReplay = async <T>(
  { db }: { db: CallerDatabase },
  request: WriteRequest<T>,
  run: () => Promise<WriteResult<T>>,
): Promise<WriteResult<T>> => {
  const { actor, claim } = request
  if (!claim) return run()
  const lookUp = (): Promise<WriteResult<T> | null> =>
    db.of(actor.userId).transact(async (tx) => {
      const stored = await selectStoredResponse(tx, actor.userId, claim)
      return stored && replay(tx, { actor, claim }, stored)
    })
  const earlier = await lookUp()
  if (earlier) return earlier
  try {
    return await run()
  } catch (error) {
    const meanwhile = await lookUp()
    if (meanwhile) return meanwhile
    throw error
  }
}

/** 404 where the actor may no longer read what the stored response is about. */
export const replay = async <T>(
  tx: Tx,
  { actor, claim }: KeyedWrite<T>,
  stored: CompactResponse,
): Promise<WriteResult<T>> => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- stored by `write`, from the subject of the first
  const subject = stored.subject as Subject
  await requireReadableSubject(tx, actor, subject)
  return { kind: 'replayed', response: await restoreLongTexts(tx, actor, claim, { ...stored, subject }) }
}
