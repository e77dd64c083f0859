// From an access token to the person behind it. Invariant: a memoised answer counts only while the log is known
// to be followed to within a second, and is gone once the log says that it may be wrong; a look-up that was under
// way at that moment is not kept. Otherwise the session's row is asked.
import { BoundedCache } from '../async/bounded-cache.ts'
import type { Tokens, AccessClaims } from './tokens.ts'
import type { CallerDatabase, DatabaseCalls } from '../db/client.ts'
import { selectSessionHolder, touchSessions } from '../db/users/sessions.ts'
import { AppError, messageOf } from '../errors.ts'
import type { LogFollower } from '../changelog/follower/log-follower.ts'
import { idOf, isUserScope } from '../model/scope.ts'
import type { Log } from '../log.ts'
import type { Actor } from '../model/actor.ts'

/** An authenticated caller and until when its token counts. */
export interface Identity {
  actor: Actor
  /** Epoch milliseconds. */
  expiresAt: number
}

/** From a token to the person behind it: memoised while revocations are known to arrive. */
export interface Authenticator {
  /** 401 for a bad or expired token, with `reason: 'revoked'` for an ended session; 503 if that cannot be known now. */
  authenticate(token: string): Promise<Identity>
}

export interface AuthenticatorDeps {
  db: CallerDatabase
  /** For noting many sessions as seen at once. */
  systemDb: DatabaseCalls
  tokens: Tokens
  follower: Pick<LogFollower, 'confirmedAt' | 'onControl' | 'onDeliveryFailure' | 'onEpochChange'>
  log: Log
}

export interface SessionAuthenticator extends Authenticator, AsyncDisposable {
  /** Drops the memoised answers for a user's tokens, or for one session's; runs on each control entry of `user:<id>`. */
  forget(userId: string, sessionId?: string): void
}

interface Known {
  identity: Identity
  /** When the session should next be noted as seen, milliseconds since 1970. */
  touchAt: number
}

/** What the log may say of a look-up while it is under way. */
interface PendingLookup {
  /** Null before the token is read. */
  claims: AccessClaims | null
  isStale: boolean
}

interface Lookup {
  doubt: PendingLookup
  result: Promise<Identity>
}

const maxKnown = 10_000
const maxTouches = 10_000
const confirmedForMs = 1_000
const touchEveryMs = 60_000
const readDeadlineMs = 2_000

export const createAuthenticator = ({
  db,
  systemDb,
  tokens,
  follower,
  log,
}: AuthenticatorDeps): SessionAuthenticator => {
  const tokensOf = new Map<string, Set<string>>()
  /** By token. */
  const known = new BoundedCache<string, Known>({
    maxEntries: maxKnown,
    onDrop: (token, { identity }) => {
      const ofUser = tokensOf.get(identity.actor.userId)
      ofUser?.delete(token)
      if (ofUser?.size === 0) tokensOf.delete(identity.actor.userId)
    },
  })
  const lookups = new Map<string, Lookup>()
  const touches = new Set<string>()
  let touching: Promise<void> | null = null

  // Both ways: a clock that was set back says nothing of how long ago it was.
  const isFollowing = (): boolean => Math.abs(Date.now() - follower.confirmedAt) < confirmedForMs

  const keep = (token: string, entry: Known): void => {
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

  /** One statement at a time, each for all that gathered meanwhile. */
  const flush = async (): Promise<void> => {
    while (touches.size > 0) {
      const ids = [...touches]
      touches.clear()
      await systemDb
        .transact((tx) => touchSessions(tx, ids))
        .catch((error: unknown) =>
          log.warn({ cause: messageOf(error), oncePerMinute: 'touch' }, 'sessions not noted as seen'),
        )
    }
  }

  const look = async (token: string, doubt: PendingLookup): Promise<Identity> => {
    const mayKeep = isFollowing() // before the read: what the log said until then is not missed
    const claims = await tokens.verify(token)
    doubt.claims = claims
    const { userId, sessionId, expiresAt } = claims
    const holder = await db
      .of(userId)
      .read((sql) => selectSessionHolder(sql, sessionId), { deadlineMs: readDeadlineMs })
    if (!holder || holder.userId !== userId || holder.isDisabled) {
      throw new AppError('unauthenticated', 'The session has ended', { extra: { reason: 'revoked' } })
    }
    const identity = { actor: { userId, role: holder.role, sessionId }, expiresAt }
    if (holder.isUnseen) touch(sessionId)
    if (mayKeep && !doubt.isStale) keep(token, { identity, touchAt: Date.now() + touchEveryMs })
    return identity
  }

  /** Equal tokens share one look-up. */
  const lookUp = (token: string): Promise<Identity> => {
    const running = lookups.get(token)
    if (running) return running.result
    const doubt: PendingLookup = { claims: null, isStale: false }
    const result = look(token, doubt).finally(() => {
      if (lookups.get(token)?.doubt === doubt) lookups.delete(token)
    })
    lookups.set(token, { doubt, result })
    return result
  }

  const isOf = (userId: string, sessionId: string | undefined, of: { userId: string; sessionId: string }) =>
    of.userId === userId && (sessionId === undefined || of.sessionId === sessionId)

  const forget = (userId: string, sessionId?: string): void => {
    for (const token of tokensOf.get(userId) ?? []) {
      if (isOf(userId, sessionId, known.peek(token)!.identity.actor)) known.delete(token)
    }
    for (const [token, { doubt }] of lookups) {
      // Without claims it has not read the row yet, and will read it as it is now.
      if (!doubt.claims || !isOf(userId, sessionId, doubt.claims)) continue
      doubt.isStale = true
      lookups.delete(token)
    }
  }

  const forgetAll = (): void => {
    known.clear()
    tokensOf.clear()
    for (const { doubt } of lookups.values()) doubt.isStale = true
    lookups.clear()
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

    async authenticate(token) {
      const held = known.get(token)
      if (!held || !isFollowing()) return lookUp(token)
      const now = Date.now()
      if (held.identity.expiresAt <= now) {
        known.delete(token)
        throw new AppError('token_expired')
      }
      if (held.touchAt <= now) {
        held.touchAt = now + touchEveryMs
        touch(held.identity.actor.sessionId)
      }
      return held.identity
    },

    async [Symbol.asyncDispose]() {
      for (const stop of stopListening) stop()
      await touching
    },
  }
}
