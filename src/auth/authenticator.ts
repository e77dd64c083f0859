// From an access token to its actor. Invariant: a memoised identity is used only while the log is known to be followed
// to within a second, and is dropped by a control entry that may revoke it; a look-up that runs at that moment is not
// memoised. Otherwise the session's row is read.
import { BoundedCache } from '../async/bounded-cache.ts'
import type { Tokens, AccessClaims } from './tokens.ts'
import type { DatabaseCalls } from '../db/client.ts'
import { CoalescedRead } from '../db/coalesced-read.ts'
import { selectSessionHolders, touchSessions } from '../db/users/sessions.ts'
import { AppError, messageOf } from '../errors.ts'
import type { LogFollower } from '../changelog/follower/log-follower.ts'
import { idOf, isUserScope } from '../model/scope.ts'
import type { Log } from '../log.ts'
import { sessionIdOf, type Actor } from '../model/actor.ts'

/** An authenticated actor, and when its token expires. */
export interface Identity {
  actor: Actor
  /** Epoch milliseconds. */
  expiresAt: number
}

/** Resolves tokens to actors; memoised while revocations are known to arrive. */
export interface Authenticator {
  /** The identity of a token that is known to be good; null for any other, which `authenticate` decides. */
  memoised(token: string): Identity | null
  /** 401 for a bad or expired token, with `reason: 'revoked'` for an ended session; 503 if PostgreSQL does not answer. */
  authenticate(token: string): Promise<Identity>
}

export interface AuthenticatorDeps {
  /** For looking up and touching many sessions in one statement. */
  systemDb: DatabaseCalls
  tokens: Tokens
  follower: Pick<LogFollower, 'confirmedAt' | 'onControl' | 'onDeliveryFailure' | 'onEpochChange'>
  log: Log
}

export interface SessionAuthenticator extends Authenticator, AsyncDisposable {
  /** Drops the memoised tokens of a user, or of one session; called for each control entry of `user:<id>`. */
  forget(userId: string, sessionId?: string): void
}

interface MemoisedIdentity {
  identity: Identity
  /** When `last_seen_at` of the session is next updated, epoch milliseconds. */
  touchAt: number
}

/** A look-up that runs: a control entry that arrives meanwhile makes it stale. */
interface PendingLookup {
  /** Null until the token is verified. */
  claims: AccessClaims | null
  isStale: boolean
}

interface Lookup {
  pending: PendingLookup
  result: Promise<Identity>
}

const maxMemoised = 10_000
const maxTouches = 10_000
const maxConfirmationAgeMs = 1_000
const touchEveryMs = 60_000
const lookUpTimeoutMs = 2_000
/** Sessions of one statement: after a restart, every returning client has to be looked up. */
const sessionsAtOnce = 256

export const createAuthenticator = ({
  systemDb,
  tokens,
  follower,
  log,
}: AuthenticatorDeps): SessionAuthenticator => {
  const tokensOf = new Map<string, Set<string>>()
  /** By token. */
  const known = new BoundedCache<string, MemoisedIdentity>({
    maxEntries: maxMemoised,
    onDrop: (token, { identity }) => {
      const ofUser = tokensOf.get(identity.actor.userId)
      ofUser?.delete(token)
      if (ofUser?.size === 0) tokensOf.delete(identity.actor.userId)
    },
  })
  const lookups = new Map<string, Lookup>()
  const holders = new CoalescedRead({
    db: systemDb,
    select: selectSessionHolders,
    deadlineMs: lookUpTimeoutMs,
    maxBatch: sessionsAtOnce,
  })
  const touches = new Set<string>()
  let touching: Promise<void> | null = null

  // Absolute: after the clock was set back, the difference does not measure how long ago the confirmation was.
  const isFollowing = (): boolean => Math.abs(Date.now() - follower.confirmedAt) < maxConfirmationAgeMs

  const memoise = (token: string, entry: MemoisedIdentity): void => {
    const { userId } = entry.identity.actor
    known.set(token, entry)
    tokensOf.set(userId, (tokensOf.get(userId) ?? new Set()).add(token))
  }

  const touch = (sessionId: string): void => {
    if (touches.size < maxTouches) touches.add(sessionId)
    touching ??= flush().finally(() => {
      touching = null
    })
  }

  /** One statement at a time; each updates all sessions that were collected during the one before. */
  const flush = async (): Promise<void> => {
    while (touches.size > 0) {
      const ids = [...touches]
      touches.clear()
      await systemDb
        .transact((tx) => touchSessions(tx, ids))
        .catch((error: unknown) =>
          log.warn(
            { cause: messageOf(error), oncePerMinute: 'touch' },
            'last_seen_at of sessions not updated',
          ),
        )
    }
  }

  const readIdentity = async (token: string, pending: PendingLookup): Promise<Identity> => {
    // Before the read: the row reflects all control entries committed until then.
    const wasFollowing = isFollowing()
    const claims = await tokens.verify(token)
    pending.claims = claims
    const { userId, sessionId, expiresAt } = claims
    const holder = await holders.get(userId, sessionId, sessionId)
    if (!holder || holder.userId !== userId || holder.isDisabled) {
      throw new AppError('unauthenticated', 'The session has ended', { extra: { reason: 'revoked' } })
    }
    const credential = { kind: 'session', sessionId } as const
    const identity = { actor: { userId, role: holder.role, credential }, expiresAt }
    if (holder.isUnseen) touch(sessionId)
    if (wasFollowing && !pending.isStale) memoise(token, { identity, touchAt: Date.now() + touchEveryMs })
    return identity
  }

  /** Equal tokens share one look-up. */
  const lookUp = (token: string): Promise<Identity> => {
    const running = lookups.get(token)
    if (running) return running.result
    const pending: PendingLookup = { claims: null, isStale: false }
    const result = readIdentity(token, pending).finally(() => {
      if (lookups.get(token)?.pending === pending) lookups.delete(token)
    })
    lookups.set(token, { pending, result })
    return result
  }

  const forget = (userId: string, sessionId?: string): void => {
    for (const token of tokensOf.get(userId) ?? []) {
      const { actor } = known.peek(token)!.identity
      if (sessionId === undefined || sessionIdOf(actor) === sessionId) known.delete(token)
    }
    for (const [token, { pending }] of lookups) {
      // Without claims it has not read the row yet, and will read the row's present state.
      if (pending.claims?.userId !== userId) continue
      if (sessionId !== undefined && pending.claims.sessionId !== sessionId) continue
      pending.isStale = true
      lookups.delete(token)
    }
  }

  const forgetAll = (): void => {
    known.clear()
    tokensOf.clear()
    for (const { pending } of lookups.values()) pending.isStale = true
    lookups.clear()
  }

  const memoised = (token: string): Identity | null => {
    const entry = known.get(token)
    if (!entry || !isFollowing()) return null
    const now = Date.now()
    if (entry.identity.expiresAt <= now) return null
    if (entry.touchAt <= now) {
      entry.touchAt = now + touchEveryMs
      const sessionId = sessionIdOf(entry.identity.actor)
      if (sessionId !== null) touch(sessionId)
    }
    return entry.identity
  }

  const stopListening = [
    follower.onControl(({ scope, control }) => {
      if (!isUserScope(scope)) return
      forget(idOf(scope), control?.kind === 'session' ? control.sessionId : undefined)
    }),
    // Revocations may be among the entries that are lost or were not delivered.
    follower.onEpochChange(forgetAll),
    follower.onDeliveryFailure(forgetAll),
  ]

  return {
    forget,

    memoised,

    async authenticate(token) {
      const identity = memoised(token)
      if (identity) return identity
      const expired = known.peek(token)
      if (!expired || !isFollowing()) return lookUp(token)
      known.delete(token)
      throw new AppError('token_expired')
    },

    async [Symbol.asyncDispose]() {
      for (const stop of stopListening) stop()
      await touching
    },
  }
}
