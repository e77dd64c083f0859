// When sessions and personal access tokens were last used. Invariant: one statement of each kind runs at a time, for all
// credentials that were collected during the one before; a failure is logged and costs a minute of accuracy.
import type { DatabaseCalls, Tx } from '../db/client.ts'
import { touchPersonalTokens } from '../db/users/personal-tokens.ts'
import { touchSessions } from '../db/users/sessions.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Credential } from '../model/actor.ts'

const maxWaiting = 10_000

class TouchQueue {
  readonly #ids = new Set<string>()
  #running: Promise<void> | null = null

  constructor(
    private readonly db: Pick<DatabaseCalls, 'transact'>,
    private readonly log: Log,
    private readonly update: (tx: Tx, ids: string[]) => Promise<void>,
  ) {}

  add(id: string): void {
    if (this.#ids.size < maxWaiting) this.#ids.add(id)
    this.#running ??= this.#flush().finally(() => {
      this.#running = null
    })
  }

  /** Resolves when nothing waits any more. */
  async settled(): Promise<void> {
    await this.#running
  }

  async #flush(): Promise<void> {
    while (this.#ids.size > 0) {
      const ids = [...this.#ids]
      this.#ids.clear()
      await this.db
        .transact((tx) => this.update(tx, ids))
        .catch((error: unknown) =>
          this.log.warn(
            { cause: messageOf(error), oncePerMinute: 'touch' },
            'last use of sessions or tokens not updated',
          ),
        )
    }
  }
}

export class Touches implements AsyncDisposable {
  readonly #sessions: TouchQueue
  readonly #tokens: TouchQueue

  constructor(db: Pick<DatabaseCalls, 'transact'>, log: Log) {
    this.#sessions = new TouchQueue(db, log, touchSessions)
    this.#tokens = new TouchQueue(db, log, touchPersonalTokens)
  }

  /** Notes the use of a credential; returns at once. */
  add(credential: Credential): void {
    if (credential.kind === 'session') this.#sessions.add(credential.sessionId)
    if (credential.kind === 'token') this.#tokens.add(credential.tokenId)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#sessions.settled(), this.#tokens.settled()])
  }
}
