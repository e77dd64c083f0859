// Reads a scope's snapshot until it is there, or it is clear that it never will be. Invariants: one read at a time; what
// was asked for during a read is answered by one that began after it; each read but the first backs off.
import type { LoadedSnapshot } from './scope-model.ts'
import type { Timing } from '../timing.ts'
import { fullJitterMs, InterruptibleSleep } from '../async/wait.ts'

interface SnapshotSource {
  load(signal: AbortSignal): Promise<LoadedSnapshot>
  /** Whether it is from before what is shown. One that others share may be a little older. */
  isOld(cursor: string): boolean
  /** Whether the error is final; the source then stops its view. */
  isFinal(error: unknown): boolean
  /** A read failed and is repeated. */
  failed(): void
}

export class SnapshotReader {
  #isReading = false
  /** A newer snapshot was asked for while one was being read. */
  #isOutdated = false
  /** Snapshots read since the scope was live for a while. */
  #reads = 0
  readonly #retryDelay = new InterruptibleSleep()

  /** @param signal ends it. */
  constructor(
    private readonly source: SnapshotSource,
    private readonly timing: Timing,
    private readonly signal: AbortSignal,
  ) {}

  /** Null where a read that is under way answers for this one, and where it ended. */
  async read(): Promise<LoadedSnapshot | null> {
    this.#isOutdated = this.#isReading
    if (this.#isReading) return null
    this.#isReading = true
    const patientUntil = Date.now() + this.timing.maxSnapshotAgeMs
    for (let tries = this.#reads; !this.signal.aborted; tries += 1) {
      if (tries > 0) await this.#backOff(tries)
      this.#isOutdated = false
      try {
        const loaded = await this.source.load(this.signal)
        // If it stays older than what is shown, the log has gone back.
        if (this.#isOutdated || (this.source.isOld(loaded.cursor) && Date.now() < patientUntil)) continue
        this.#isReading = false
        this.#reads += 1
        return loaded
      } catch (error) {
        if (this.source.isFinal(error)) return null
        this.source.failed()
      }
    }
    return null
  }

  /** The scope was live for a while: the next read does not back off. */
  reset(): void {
    this.#reads = 0
  }

  /** Tries now. */
  wake(): void {
    this.#retryDelay.wake()
  }

  #backOff(failures: number): Promise<void> {
    const { backOffBaseMs, backOffMaxMs } = this.timing
    return this.#retryDelay
      .sleep(fullJitterMs(failures, backOffBaseMs, backOffMaxMs), this.signal)
      .catch(() => {}) // it ended: so does the loop
  }
}
