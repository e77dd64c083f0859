// Stores positions that moved past entries without effect. Invariant: a move commits only from the number at which it
// began; moves that are asked for together are one transaction.
//
// Problem: each consumer of each shard stores its position once a second while entries pass, so that a crash repeats
// little reading. The naive way, a transaction for each, is 32 commits a second for two consumers on 16 shards, more work
// than reading the entries was. The way chosen: positions become due in the same second for all, and one transaction
// updates those that were collected meanwhile; a move that another worker was faster with is left out and fails alone.
import type { Database } from '../../db/client.ts'
import { PositionMoved, updatePositions, type PositionMove } from '../../db/log/consumers.ts'

interface Pending extends PositionMove {
  settle: PromiseWithResolvers<void>
}

/** Collects the moves of consumers that are busy at the moment. */
const collectMs = 20

export class PositionStore {
  #pending: Pending[] = []
  /** Transactions since the start. */
  transactions = 0

  constructor(private readonly db: Pick<Database, 'transact'>) {}

  /** @throws PositionMoved where the position is not at `from` or the epoch ended; AppError `unavailable`. */
  move(move: PositionMove): Promise<void> {
    const settle = Promise.withResolvers<void>()
    if (this.#pending.length === 0) setTimeout(() => void this.#flush(), collectMs)
    this.#pending.push({ ...move, settle })
    return settle.promise
  }

  async #flush(): Promise<void> {
    const moves = this.#pending
    this.#pending = []
    try {
      this.transactions += 1
      const moved = await this.db.transact((tx) => updatePositions(tx, moves))
      for (const [index, { settle, ...move }] of moves.entries()) {
        if (moved[index]) settle.resolve()
        else settle.reject(new PositionMoved(move))
      }
    } catch (error) {
      for (const { settle } of moves) settle.reject(error)
    }
  }
}
