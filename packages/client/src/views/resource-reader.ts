// Reads resources that an event names without their content, with retries. Invariant: a caller receives a value that was
// requested after its call, so that a slow response is never taken for the state a later event announced.
import { isNotFound, type HttpClient } from '../http/http-client.ts'
import type { Path } from '../http/path.ts'
import type { Timing } from '../timing.ts'
import { backOffMs } from '../async/back-off.ts'
import { pause } from '../async/pause.ts'

type OnValue = (value: never) => void

export class ResourceReader {
  readonly #pending = new Map<string, OnValue[]>()

  /** @param signal ends all of it. */
  constructor(
    private readonly deps: { http: HttpClient; timing: Timing },
    private readonly signal: AbortSignal,
  ) {}

  /** Calls `take` with the value; not for a 404, after which the log has the deletion. */
  read(path: Path, take: OnValue): void {
    const asked = this.#pending.get(path.text)
    if (asked) asked.push(take)
    else {
      this.#pending.set(path.text, [take])
      void this.#readWithRetries(path)
    }
  }

  /** Reads again what is being read: a response under way may be older. Nothing where it is not being read. */
  repeat(path: Path): void {
    const asked = this.#pending.get(path.text)
    const last = asked?.at(-1)
    if (last) asked!.push(last)
  }

  /** The resource was deleted: a pending response is older than that. */
  cancel(path: Path): void {
    this.#pending.delete(path.text)
  }

  /** Whether no read is pending. */
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
          await pause(backOffMs(failures, timing), this.signal)
          continue
        }
      }
      if (this.#pending.get(path.text) !== asked) return
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the caller knows the type at the path
      for (const take of asked.splice(0, before)) if (value !== undefined) take(value as never)
    }
    if (this.#pending.get(path.text) === asked) this.#pending.delete(path.text)
  }
}
