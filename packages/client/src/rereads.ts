// What an event only names, or does not say whole, is read until it is there. Invariant: whoever asks gets what was
// read after they asked, so that an answer that was slow is never taken for what a later event spoke of.
import { isMissing, type Http } from './http.ts'
import type { Path } from './path.ts'
import type { Timing } from './timing.ts'
import { jitter, sleep } from './wait.ts'

type Take = (value: never) => void

export class Rereads {
  readonly #asked = new Map<string, Take[]>()

  /** @param signal ends all of it. */
  constructor(
    private readonly deps: { http: Http; timing: Timing },
    private readonly signal: AbortSignal,
  ) {}

  /** Nothing is taken of what is gone: the log says so next. */
  read(path: Path, take: Take): void {
    const asked = this.#asked.get(path.text)
    if (asked) asked.push(take)
    else {
      this.#asked.set(path.text, [take])
      void this.#readUntilThere(path)
    }
  }

  /** It is gone: an answer still on the way is from before. */
  forget(path: Path): void {
    this.#asked.delete(path.text)
  }

  /** Whether nothing is being read: what is held is all that the events said. */
  get isIdle(): boolean {
    return this.#asked.size === 0
  }

  clear(): void {
    this.#asked.clear()
  }

  async #readUntilThere(path: Path): Promise<void> {
    const { http, timing } = this.deps
    const asked = this.#asked.get(path.text)!
    for (let failures = 0; asked.length > 0 && !this.signal.aborted;) {
      const before = asked.length
      let value: unknown
      try {
        value = await http.value<unknown>({ method: 'GET', path, signal: this.signal })
      } catch (error) {
        if (!isMissing(error)) {
          failures += 1
          await sleep(jitter(failures, timing.backOffFrom, timing.backOffTo), this.signal).catch(() => {})
          continue
        }
      }
      if (this.#asked.get(path.text) !== asked) return
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- whoever asks knows what is at the path
      for (const take of asked.splice(0, before)) if (value !== undefined) take(value as never)
    }
    if (this.#asked.get(path.text) === asked) this.#asked.delete(path.text)
  }
}
