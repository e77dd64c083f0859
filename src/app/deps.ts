// What the parts are given instead of reaching for it. Types only: `compose.ts` makes the values and disposes them.
import type { Config } from '../config.ts'
import type { CallerDatabase, DatabaseCalls } from '../db/client.ts'
import type { Actor } from '../domain/actor.ts'
import type { Publisher } from '../domain/write.ts'
import type { Snapshots } from '../domain/snapshot.ts'
import type { Bus } from '../changelog/bus.ts'
import type { Hub } from '../changelog/follower/hub.ts'
import type { History } from '../changelog/follower/history.ts'
import type { RedisProbe } from '../redis/redis-check.ts'
import type { LiveStats } from '../changelog/live-stats.ts'
import type { ServerRegistry } from '../changelog/servers.ts'
import type { Tail } from '../changelog/follower/tail.ts'
import type { BodyBudget } from '../http/body/body-budget.ts'
import type { Waiters } from '../limits/waiters.ts'
import type { Attempts, RateLimiter } from '../limits/rate.ts'
import type { WrittenBytes } from '../limits/written-bytes.ts'
import type { Log } from '../log.ts'

/** Signs and checks access tokens; the only thing that knows their keys. */
export interface Tokens {
  /** A JWT for this session, valid for `accessTokenSeconds`. */
  sign(claims: { userId: string; sessionId: string }): Promise<string>
  /** The claims of a valid token; 401 `unauthenticated` or `token_expired` otherwise. */
  verify(token: string): Promise<AccessClaims>
}

export interface AccessClaims {
  userId: string
  sessionId: string
  /** Epoch milliseconds. */
  expiresAt: number
}

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

/**
 * Argon2id behind a semaphore, so that sign-in floods cannot starve the process. `userId` names the signed-in person
 * whom a hash is for: these have turns of their own, so that they cannot use up those of sign-ins.
 */
export interface Passwords {
  hash(password: string, userId?: string): Promise<string>
  /** Also takes as long when there is no hash, so that unknown accounts cannot be told by time. */
  verify(password: string, hash: string | null, userId?: string): Promise<PasswordVerdict>
}

export interface PasswordVerdict {
  valid: boolean
  outdated: boolean
}

/**
 * The way a request verifies a password: under the limits of failed checks. 429 `rate_limited`.
 * @param account `userId` is null where no account has the address.
 */
export type PasswordCheck = (
  account: { userId: string | null; email: string },
  password: string,
  hash: string | null,
) => Promise<PasswordVerdict>

/** Everything a server process is made of. */
export interface Deps {
  config: Config
  log: Log
  /** What is read and written for somebody names who it is for, by which calls are limited. */
  db: CallerDatabase
  /** What the process does for itself; nothing that a request or a frame causes. */
  systemDb: DatabaseCalls
  publisher: Publisher
  /** Where missed entries are read from. */
  history: History
  tail: Tail
  hub: Hub
  /** What processes tell each other and nobody keeps. */
  bus: Bus
  /** Which server processes there are. */
  servers: ServerRegistry
  snapshots: Snapshots
  /** Bodies of requests that are under way. */
  bodies: BodyBudget
  /** Long polls that wait. */
  polls: Waiters
  stats: LiveStats
  tokens: Tokens
  authenticator: Authenticator
  passwords: Passwords
  limiter: RateLimiter
  attempts: Attempts
  writtenBytes: WrittenBytes
  /** Whether Redis takes writes; for health. */
  redisHealth: RedisProbe
  /** Aborted once the process drains: refuse what is new, end what waits. */
  draining: AbortSignal
}
