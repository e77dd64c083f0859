// The leases of the attempts that run in this worker, renewed together. Invariant: an attempt whose lease may have ended
// is aborted: another worker may run its delivery, and the fence decides which of the two completes it.
import type { Database } from '../../db/client.ts'
import { FenceLost, renewLeases, type Claim } from '../../db/deliveries/claims.ts'

/** Also after how long a worker's deliveries are claimed by others when it dies. */
export const leaseMs = 10_000
export const renewEveryMs = 2_500

interface Held {
  claim: Claim
  abort: AbortController
  renewedAt: number
}

export interface Lease extends Disposable {
  signal: AbortSignal
}

export class HeldLeases {
  readonly #held = new Set<Held>()
  #idle = Promise.withResolvers<void>()
  #stopReason: Error | null = null

  constructor(private readonly db: Pick<Database, 'transact'>) {}

  get size(): number {
    return this.#held.size
  }

  hold(claim: Claim): Lease {
    const held: Held = { claim, abort: new AbortController(), renewedAt: performance.now() }
    if (this.#held.size === 0) this.#idle = Promise.withResolvers()
    this.#held.add(held)
    if (this.#stopReason) held.abort.abort(this.#stopReason)
    const release = (): void => {
      this.#held.delete(held)
      if (this.#held.size === 0) this.#idle.resolve()
    }
    return { signal: held.abort.signal, [Symbol.dispose]: release }
  }

  /** Resolves when no attempt runs. */
  idle(): Promise<void> {
    return this.#held.size === 0 ? Promise.resolve() : this.#idle.promise
  }

  /** Aborts all attempts with the reason, and those that begin later: a claim may be under way. */
  abort(reason: Error): void {
    this.#stopReason = reason
    for (const { abort } of this.#held) abort.abort(reason)
  }

  /** Renews all, and aborts those that another worker has claimed. */
  async renew(): Promise<void> {
    const held = [...this.#held]
    if (held.length === 0) return
    const askedAt = performance.now()
    try {
      const claims = held.map(({ claim }) => claim)
      const renewed = new Set(await this.db.transact((tx) => renewLeases(tx, claims, leaseMs)))
      for (const one of held) {
        if (renewed.has(one.claim.id)) one.renewedAt = askedAt
        else one.abort.abort(new FenceLost(one.claim))
      }
    } catch (error) {
      for (const one of held)
        if (performance.now() - one.renewedAt > leaseMs) one.abort.abort(new FenceLost(one.claim))
      throw error
    }
  }
}
