// Sends the writes of a queue one after another. Invariant: a write is sent only after all writes of its user that were
// made before it, only with that user's session, and again until it is accepted or refused.
import type { Task } from '../../../../src/model/task.ts'
import { backOffMs } from '../async/back-off.ts'
import { InterruptiblePause } from '../async/pause.ts'
import { SignedOutError } from '../errors.ts'
import { isRetryable } from '../http/http-client.ts'
import type { Answer } from '../http/request.ts'
import type { Session } from '../session.ts'
import type { Timing } from '../timing.ts'
import type { OutboxEntry } from './outbox-entry.ts'
import type { PendingWrite } from './overlay.ts'

interface SenderDeps {
  /** The next write to send; undefined while there is none. */
  next(): OutboxEntry | undefined
  /** Sends a write until it is accepted. */
  deliver(write: PendingWrite): Promise<Answer<Task | null>>
  accepted(entry: OutboxEntry, answer: Answer<Task | null>): Promise<void>
  refused(entry: OutboxEntry, error: Error): Promise<void>
  session: Pick<Session, 'token'>
  timing: Timing
  /** Ends it. */
  signal: AbortSignal
}

export class WriteSender {
  #failures = 0
  #running: Promise<void> | null = null
  readonly #retryPause = new InterruptiblePause()

  constructor(private readonly deps: SenderDeps) {}

  /** Sends what waits to be sent, unless it does so already. */
  start(): void {
    if (this.#running || this.deps.signal.aborted || !this.deps.next()) return
    this.#running = this.#sendAll().finally(() => {
      this.#running = null
      this.start()
    })
  }

  /** Tries again now. */
  wake(): void {
    this.#failures = 0
    this.#retryPause.wake()
    this.start()
  }

  async #sendAll(): Promise<void> {
    const { session, signal } = this.deps
    while (!signal.aborted && this.deps.next()) {
      let entry: OutboxEntry | undefined
      try {
        await session.token(signal) // loads the session: only then it is known who is signed in
        entry = this.deps.next()
        if (!entry) return
        entry.state = 'sending'
        await this.deps.accepted(entry, await this.deps.deliver(entry.write))
        this.#failures = 0
      } catch (error) {
        if (signal.aborted) return
        if (!entry || isRetryable(error) || error instanceof SignedOutError) await this.#waitForRetry(entry)
        else await this.deps.refused(entry, error instanceof Error ? error : new Error(String(error)))
      }
    }
  }

  async #waitForRetry(entry: OutboxEntry | undefined): Promise<void> {
    if (entry) entry.state = 'queued'
    this.#failures += 1
    await this.#retryPause.wait(backOffMs(this.#failures, this.deps.timing), this.deps.signal)
  }
}
