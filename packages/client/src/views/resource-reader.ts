// What an event only names, or does not say whole, is read until it is there. Invariant: whoever asks gets what was
// read after they asked, so that an answer that was slow is never taken for what a later event spoke of.
import { isNotFound, type HttpClient } from '../http/http-client.ts'
import type { Path } from '../http/path.ts'
import type { Timing } from '../timing.ts'
import { fullJitterMs, sleep } from '../async/wait.ts'

type OnValue = (value: never) => void

export class ResourceReader {
  readonly #pending = new Map<string, OnValue[]>()

  /** @param signal ends all of it. */
  constructor(
    private readonly deps: { http: HttpClient; timing: Timing },
    private readonly signal: AbortSignal,
  ) {}

  /** Nothing is taken of what is gone: the log says so next. */
  read(path: Path, take: OnValue): void {
    const asked = this.#pending.get(path.text)
    if (asked) asked.push(take)
    else {
      this.#pending.set(path.text, [take])
      void this.#readWithRetries(path)
    }
  }

  /** It is gone: an answer still on the way is from before. */
  cancel(path: Path): void {
    this.#pending.delete(path.text)
  }

  /** Whether nothing is being read: what is held is all that the events said. */
  get isIdle(): boolean {
    return this.#pending.size === 0
  }

  clear(): void {
    this.#pending.clear()
  }

  async #readWithRetries(path: Path): Promise<void> {
    const { http, timing } = this.deps
    const asked = this.#pending.get(path.text)!
    for (let failures = 0; asked.length > 0 && !this.signal.aborted;) {
      const before = asked.length
      let value: unknown
      try {
        value = await http.value<unknown>({ method: 'GET', path, signal: this.signal })
      } catch (error) {
        if (!isNotFound(error)) {
          failures += 1
          await sleep(fullJitterMs(failures, timing.backOffBaseMs, timing.backOffMaxMs), this.signal).catch(
            () => {},
          )
          continue
        }
      }
      if (this.#pending.get(path.text) !== asked) return
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- whoever asks knows what is at the path
      for (const take of asked.splice(0, before)) if (value !== undefined) take(value as never)
    }
    if (this.#pending.get(path.text) === asked) this.#pending.delete(path.text)
  }
}
