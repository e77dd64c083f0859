// What the parts are given instead of reaching for it. Types only: `compose.ts` makes the values and disposes them.
import type { Config } from './config.ts'
import type { CallerDatabase, DatabaseCalls } from './db/client.ts'
import type { Actor } from './domain/actor.ts'
import type { Publisher } from './domain/write.ts'
import type { Snapshots } from './domain/snapshot.ts'
import type { Bus } from './events/bus.ts'
import type { Hub } from './events/hub.ts'
import type { History } from './events/history.ts'
import type { RedisProbe } from './events/redis-check.ts'
import type { LiveStats } from './events/stats.ts'
import type { ServerRegistry } from './events/servers.ts'
import type { Tail } from './events/tail.ts'
import type { BodyBudget } from './http/body-budget.ts'
import type { Waiters } from './limits/waiters.ts'
import type { Log } from './log.ts'

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

/** Counts attempts per key in a window; in Redis, or in the process while Redis is away. */
export interface RateLimiter {
  /** Takes one of `limit` per window. Never throws and never waits longer than 100 ms. */
  take(policy: RatePolicy, key: string): Promise<RateState>
  /** Puts back what a `take` took for nothing. Never throws. */
  giveBack(policy: RatePolicy, key: string): Promise<void>
  /** How often Redis could not be asked, for the metrics. */
  readonly misses: number
}

export interface RatePolicy {
  name: string
  limit: number
  windowSeconds: number
  /** Counted in this process while Redis is away; others then let everything pass. */
  isStrict?: boolean
}

export interface RateState {
  allowed: boolean
  limit: number
  remaining: number
  /** Seconds until the window is over. */
  resetSeconds: number
}

/** Argon2id behind a semaphore, so that sign-in floods cannot starve the process. */
export interface Passwords {
  hash(password: string): Promise<string>
  /** Also takes as long when there is no hash, so that unknown accounts cannot be told by time. */
  verify(password: string, hash: string | null): Promise<{ valid: boolean; outdated: boolean }>
}

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
  /** Whether Redis takes writes; for health. */
  redisHealth: RedisProbe
  /** Aborted once the process drains: refuse what is new, end what waits. */
  draining: AbortSignal
}
