// From an access token or a personal access token to its actor. Invariant: a memoised identity is used only while the log
// is known to be followed to within a second, and is dropped by a control entry that may revoke it; a look-up that runs
// at that moment is not memoised. Otherwise the row of the session or token is read.
import { BoundedCache } from '../async/bounded-cache.ts'
import { isPersonalToken, personalTokenHash } from './personal-tokens.ts'
import { isAboutAnother } from './revocation.ts'
import type { Tokens } from './tokens.ts'
import { Touches } from './touches.ts'
import type { DatabaseCalls } from '../db/client.ts'
import { CoalescedRead } from '../db/coalesced-read.ts'
import { selectTokenHolders } from '../db/users/personal-tokens.ts'
import { selectSessionHolders } from '../db/users/sessions.ts'
import { AppError } from '../errors.ts'
import type { LogFollower } from '../changelog/follower/log-follower.ts'
import { idOf, isUserScope } from '../model/scope.ts'
import type { Log } from '../log.ts'
import type { Actor, Credential } from '../model/actor.ts'
import type { Control } from '../model/event.ts'
import { accessTokenSeconds } from '../model/user.ts'

/** An authenticated actor, and when its token expires. */
export interface Identity {
  actor: Actor
  /** Epoch milliseconds; the end of the year 9999 where it does not. */
  expiresAt: number
}

/** Resolves tokens to actors; memoised while revocations are known to arrive. */
export interface Authenticator {
  /** The identity of a token that is known to be good; null for any other, which `authenticate` decides. */
  memoised(token: string): Identity | null
  /** 401 for a bad or expired token, with `reason: 'revoked'` for an ended session or revoked token; 503 if PostgreSQL does not answer. */
  authenticate(token: string): Promise<Identity>
}

export interface AuthenticatorDeps {
  /** For looking up and touching many sessions and tokens in one statement. */
  systemDb: DatabaseCalls
  tokens: Tokens
  follower: Pick<LogFollower, 'confirmedAt' | 'onControl' | 'onDeliveryFailure' | 'onEpochChange'>
  log: Log
  /** A token is looked up again after this time: expired ones, which are not sent again, would stay in memory. */
  memoisedForMs?: number
}

export interface SessionAuthenticator extends Authenticator, AsyncDisposable {
  /** Drops the memoised tokens of a user, but for those that a control entry of `user:<id>` says nothing of. */
  forget(userId: string, control?: Control | null): void
}

interface MemoisedIdentity {
  identity: Identity
  /** When the last use of the credential is next noted, epoch milliseconds. */
  touchAt: number
}

/** A look-up that runs: a control entry that arrives meanwhile makes it stale. */
interface PendingLookup {
  /** Null until its row is read; `unknown` while only the row says whose token it is. */
  owner: null | 'unknown' | { userId: string; credential: Credential }
  isStale: boolean
}

/** What a row said. */
interface Found {
  identity: Identity
  /** Whether its last use was noted over a minute ago. */
  isUnseen: boolean
}

interface Lookup {
  pending: PendingLookup
  result: Promise<Identity>
}

const maxMemoised = 10_000
const maxConfirmationAgeMs = 1_000
const touchEveryMs = 60_000
const lookUpTimeoutMs = 2_000
/** Sessions or tokens of one statement: after a restart, every returning client has to be looked up. */
const maxBatch = 256
/** What frames show as the expiry of a token that has none. */
const endOfTime = Date.parse('9999-12-31T23:59:59.999Z')

export const createAuthenticator = ({
  systemDb,
  tokens,
  follower,
  log,
  memoisedForMs = accessTokenSeconds * 1_000,
}: AuthenticatorDeps): SessionAuthenticator => {
  const tokensOf = new Map<string, Set<string>>()
  /** By token. */
  const known = new BoundedCache<string, MemoisedIdentity>({
    maxEntries: maxMemoised,
    ttlMs: memoisedForMs,
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
    maxBatch,
  })
  const tokenHolders = new CoalescedRead({
    db: systemDb,
    select: selectTokenHolders,
    deadlineMs: lookUpTimeoutMs,
    maxBatch,
  })
  const touches = new Touches(systemDb, log)

  // Absolute: after the clock was set back, the difference does not measure how long ago the confirmation was.
  const isFollowing = (): boolean => Math.abs(Date.now() - follower.confirmedAt) < maxConfirmationAgeMs

  const memoise = (token: string, entry: MemoisedIdentity): void => {
    const { userId } = entry.identity.actor
    known.set(token, entry)
    tokensOf.set(userId, (tokensOf.get(userId) ?? new Set()).add(token))
  }

  const readSession = async (token: string, pending: PendingLookup): Promise<Found> => {
    const { userId, sessionId, expiresAt } = await tokens.verify(token)
    const credential = { kind: 'session', sessionId } as const
    pending.owner = { userId, credential }
    const holder = await holders.get(userId, sessionId, sessionId)
    if (!holder || holder.userId !== userId || holder.isDisabled) throw revoked('The session has ended')
    const { role, isUnseen } = holder
    return { identity: { actor: { userId, role, credential }, expiresAt }, isUnseen }
  }

  const readPersonalToken = async (token: string, pending: PendingLookup): Promise<Found> => {
    const hash = personalTokenHash(token).toString('hex')
    pending.owner = 'unknown'
    const holder = await tokenHolders.get(hash, hash, hash)
    if (!holder) throw new AppError('unauthenticated')
    const { id: tokenId, userId, role, scopes, expiresAt, isUnseen } = holder
    if (holder.isRevoked || holder.isDisabled) throw revoked('The token was revoked')
    if (holder.isExpired) throw new AppError('token_expired')
    const credential = { kind: 'token', tokenId, scopes } as const
    const expires = expiresAt === null ? endOfTime : Date.parse(expiresAt)
    return { identity: { actor: { userId, role, credential }, expiresAt: expires }, isUnseen }
  }

  const readIdentity = async (token: string, pending: PendingLookup): Promise<Identity> => {
    // Before the read: the row reflects all control entries committed until then.
    const wasFollowing = isFollowing()
    const read = isPersonalToken(token) ? readPersonalToken : readSession
    const { identity, isUnseen } = await read(token, pending)
    if (isUnseen) touches.add(identity.actor.credential)
    if (wasFollowing && !pending.isStale) memoise(token, { identity, touchAt: Date.now() + touchEveryMs })
    return identity
  }

  /** Equal tokens share one look-up. */
  const lookUp = (token: string): Promise<Identity> => {
    const running = lookups.get(token)
    if (running) return running.result
    const pending: PendingLookup = { owner: null, isStale: false }
    const result = readIdentity(token, pending).finally(() => {
      if (lookups.get(token)?.pending === pending) lookups.delete(token)
    })
    lookups.set(token, { pending, result })
    return result
  }

  const forget = (userId: string, control: Control | null = null): void => {
    for (const token of tokensOf.get(userId) ?? []) {
      const { credential } = known.peek(token)!.identity.actor
      if (!isAboutAnother(credential, control)) known.delete(token)
    }
    for (const [token, { pending }] of lookups) {
      const { owner } = pending
      if (owner === null) continue // it will read the row's present state
      if (owner !== 'unknown' && (owner.userId !== userId || isAboutAnother(owner.credential, control)))
        continue
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
      touches.add(entry.identity.actor.credential)
    }
    return entry.identity
  }

  const stopListening = [
    follower.onControl(({ scope, control }) => {
      if (isUserScope(scope)) forget(idOf(scope), control)
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
      await touches[Symbol.asyncDispose]()
    },
  }
}

const revoked = (message: string): AppError =>
  new AppError('unauthenticated', message, { extra: { reason: 'revoked' } })

/** The token after `Bearer` and one or more spaces; null for another scheme or what cannot be a token. */
export const bearerTokenOf = (header: string): string | null =>
  /^Bearer +([\w.~+/=-]{1,4096})$/i.exec(header)?.[1] ?? null
