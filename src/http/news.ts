// What a long poll waits for: the first entry of any of its scopes. It listens from before the first read, so that
// none is missed, and says which scopes have to be read again.
import { userScope, type Scope } from '../model/scope.ts'
import type { LogFollower } from '../changelog/follower/log-follower.ts'
import { type LogEntry, type Position } from '../model/event.ts'

export class News implements Disposable {
  readonly #arrived = Promise.withResolvers<void>()
  readonly #moved = new Set<Scope>()
  #isAll = false
  readonly #leave: (() => void)[]

  constructor(
    private readonly deps: { draining: AbortSignal; follower: Pick<LogFollower, 'subscribe'> },
    userId: string,
    wanted: { scope: Scope; cursor: Position }[],
  ) {
    const all = (): void => {
      this.#isAll = true
      this.release()
    }
    const controls = (entries: LogEntry[]): void => {
      if (entries.some(({ control }) => control !== null)) all()
    }
    this.#leave = [
      ...wanted.map(({ scope, cursor }) =>
        deps.follower.subscribe(
          scope,
          {
            onEntries: (entries) => {
              // The follower may be a moment behind what the first read saw.
              if (entries.at(-1)!.seq <= cursor.seq) return
              this.#moved.add(scope)
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

  /** Whether something of the scope came, or something that concerns all. */
  isOf(scope: Scope): boolean {
    return this.#isAll || this.#moved.has(scope)
  }

  /** Ends the wait, with or without news. */
  release(): void {
    this.#arrived.resolve()
  }

  /** Resolves after `waitMs` at the latest, and when the caller hangs up or the process drains. */
  async within(waitMs: number, hangUp: AbortSignal): Promise<void> {
    const release = (): void => this.release()
    const timer = setTimeout(release, waitMs)
    const signals = [hangUp, this.deps.draining]
    for (const signal of signals) {
      if (signal.aborted) release()
      signal.addEventListener('abort', release)
    }
    await this.#arrived.promise
    clearTimeout(timer)
    for (const signal of signals) signal.removeEventListener('abort', release)
  }

  [Symbol.dispose](): void {
    for (const leave of this.#leave) leave()
  }
}
