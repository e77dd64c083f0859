// Reads a scope's snapshot until it succeeds or fails for good. Invariants: one read at a time; a request during a read
// is answered by a read that began after it; each read but the first backs off.
import type { LoadedSnapshot } from './scope-model.ts'
import type { Timing } from '../timing.ts'
import { backOffMs } from '../async/back-off.ts'
import { InterruptiblePause } from '../async/pause.ts'

interface SnapshotSource {
  load(signal: AbortSignal): Promise<LoadedSnapshot>
  /** Whether it is older than the shown state: a snapshot that readers share may be a little older. */
  isOld(cursor: string): boolean
  /** Whether the error is final; the source then stops its view. */
  isFinal(error: unknown): boolean
  /** A read failed and is repeated. */
  failed(): void
}

export class SnapshotReader {
  #isReading = false
  /** A newer snapshot was requested during a read. */
  #isOutdated = false
  /** Snapshots read since the scope was live for a while. */
  #reads = 0
  readonly #retryPause = new InterruptiblePause()

  /** @param signal ends it. */
  constructor(
    private readonly source: SnapshotSource,
    private readonly timing: Timing,
    private readonly signal: AbortSignal,
  ) {}

  /** Null where the current read answers for this one, and where the view ended. */
  async read(): Promise<LoadedSnapshot | null> {
    this.#isOutdated = this.#isReading
    if (this.#isReading) return null
    this.#isReading = true
    const retryOldUntil = Date.now() + this.timing.maxSnapshotAgeMs
    for (let tries = this.#reads; !this.signal.aborted; tries += 1) {
      if (tries > 0) await this.#retryPause.wait(backOffMs(tries, this.timing), this.signal)
      this.#isOutdated = false
      try {
        const loaded = await this.source.load(this.signal)
        // If it stays older than the shown state, the log itself was set back.
        if (this.#isOutdated || (this.source.isOld(loaded.cursor) && Date.now() < retryOldUntil)) continue
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

  /** Ends the current back-off. */
  wake(): void {
    this.#retryPause.wake()
  }
}
