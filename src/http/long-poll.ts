// The wait of a long poll: until the first entry of any of its scopes. It subscribes before the first statement of its
// first read, so that no entry is missed between read and wait, and records which scopes must be read again. Not before: a
// poll of 64 scopes takes some 50 KB while it is subscribed, and 512 of one user may wait for their turn to read.
import { userScope, type Scope } from '../model/scope.ts'
import type { LogFollower } from '../changelog/follower/log-follower.ts'
import { type LogEntry, type Position } from '../model/event.ts'

export class LongPoll implements Disposable {
  readonly #ended = Promise.withResolvers<void>()
  readonly #changed = new Set<Scope>()
  #allChanged = false
  #unsubscribe: (() => void)[] = []
  #isDisposed = false

  constructor(
    private readonly deps: { draining: AbortSignal; follower: Pick<LogFollower, 'subscribe'> },
    private readonly userId: string,
    private readonly wanted: readonly { scope: Scope; cursor: Position }[],
  ) {}

  /** Does nothing the second time, because a read may be tried again, and after the end of a poll whose read came late. */
  subscribe(): void {
    if (this.#isDisposed || this.#unsubscribe.length > 0) return
    const { deps, userId, wanted } = this
    const all = (): void => {
      this.#allChanged = true
      this.release()
    }
    const controls = (entries: LogEntry[]): void => {
      if (entries.some(({ control }) => control !== null)) all()
    }
    this.#unsubscribe = [
      ...wanted.map(({ scope, cursor }) =>
        deps.follower.subscribe(
          scope,
          {
            onEntries: (entries) => {
              // The follower may be a moment behind what the first read saw.
              if (entries.at(-1)!.seq <= cursor.seq) return
              this.#changed.add(scope)
              this.release()
            },
            onEpochChange: all,
          },
          'immediate',
        ),
      ),
      deps.follower.subscribe(userScope(userId), { onEntries: controls }, 'immediate'),
    ]
  }

  /** Whether the scope has new entries, or all scopes must be read again. */
  hasChanged(scope: Scope): boolean {
    return this.#allChanged || this.#changed.has(scope)
  }

  /** Ends the wait, with or without new entries. */
  release(): void {
    this.#ended.resolve()
  }

  /** Resolves after `waitMs` at the latest, and when the client disconnects or the process drains. */
  async wait(waitMs: number, disconnected: AbortSignal): Promise<void> {
    const release = (): void => this.release()
    const timer = setTimeout(release, waitMs)
    const signals = [disconnected, this.deps.draining]
    for (const signal of signals) {
      if (signal.aborted) release()
      signal.addEventListener('abort', release)
    }
    await this.#ended.promise
    clearTimeout(timer)
    for (const signal of signals) signal.removeEventListener('abort', release)
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
  }
}
