// What rate limiters are asked and what they answer. Types only.

/** Counts requests per key in a window: in Redis, or in the process while Redis is away. */
export interface RateLimiter {
  /** Takes one of `limit` per window. Never throws; waits for Redis at most 100 ms in which the process was running. */
  take(policy: RatePolicy, key: string): Promise<RateState>
  /** How many decisions of all limiters were made without Redis, for the metrics. */
  readonly misses: number
}

/** Limits failed attempts: as many may be in flight as failures are left, others wait for those. */
export interface Attempts {
  /** Begins an attempt once there is room, or is refused: `end` is null. Never throws; waits at most 5 s. */
  begin(policy: RatePolicy, key: string): Promise<Attempt>
  /** Counts a failure of an attempt that another key limits. Never throws. */
  fail(policy: RatePolicy, key: string): Promise<void>
}

export interface Attempt {
  state: RateState
  /** Has to be called once; only a failure counts. */
  end: ((isFailure: boolean) => Promise<void>) | null
}

export interface RatePolicy {
  name: string
  limit: number
  windowSeconds: number
}

export interface RateState {
  allowed: boolean
  limit: number
  remaining: number
  /** Seconds until the window is over. */
  resetSeconds: number
}
