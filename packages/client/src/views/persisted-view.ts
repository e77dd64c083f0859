// The stored state of one view: saved a while after a change, at most once in that time.
import { Timers } from '../async/timers.ts'
import type { PersistedState, PersistedViews } from './persisted-views.ts'

export class PersistedView {
  /** Runs while a change is not saved. */
  readonly #saveTimer = new Timers()
  #isEnded = false

  /** @param dump the state as it is; null while it is incomplete. */
  constructor(
    private readonly views: PersistedViews,
    private readonly key: string,
    private readonly dump: () => PersistedState | null,
  ) {}

  get isEnabled(): boolean {
    return this.views.isEnabled
  }

  load(): Promise<PersistedState | null> {
    return this.views.load(this.key)
  }

  changed(): void {
    if (this.#isEnded || !this.views.isEnabled || !this.#saveTimer.isIdle) return
    this.#saveTimer.after(this.views.timing.persistDelayMs, () => {
      if (!this.#save()) this.changed()
    })
  }

  /** Saves a change that is not saved yet, and ends. */
  close(): void {
    if (!this.#saveTimer.isIdle) this.#save()
    this.stop()
  }

  /** Ends without saving. */
  stop(): void {
    this.#isEnded = true
    this.#saveTimer.clear()
  }

  remove(): void {
    this.stop()
    this.views.remove(this.key)
  }

  #save(): boolean {
    const state = this.dump()
    if (state) this.views.save(this.key, state)
    return state !== null
  }
}
