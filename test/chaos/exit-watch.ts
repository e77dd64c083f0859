// Detects unexpected exits of processes.
import type { Cluster, Role } from '../support/cluster.ts'

const checkEveryMs = 50

export class ExitWatch {
  readonly #expected = new Map<Role, number>()
  /** Ends of processes that ran when an exit became expected: `watch` may see one of them only after that. */
  readonly #excused = new WeakSet<Promise<number>>()

  /** Exits of the role while `work` runs are expected. May be nested. */
  async expected(role: Role, work: () => Promise<unknown>): Promise<void> {
    this.#excused.add(role.exited)
    this.#expected.set(role, (this.#expected.get(role) ?? 0) + 1)
    await work()
    this.#expected.set(role, this.#expected.get(role)! - 1)
  }

  /** Calls `report` for every unexpected exit, until the returned function is called. */
  watch({ servers, workers }: Cluster, report: (line: string) => void): () => void {
    const known = new Map<Role, Promise<number>>()
    const check = (): void => {
      for (const role of [...servers, ...workers]) {
        const { exited } = role
        if (known.get(role) === exited) continue
        known.set(role, exited)
        void exited.then((code) => {
          if (known.has(role) && !this.#expected.get(role) && !this.#excused.has(exited))
            report(`${role.name} exited unexpectedly (${code})`)
          return code
        })
      }
    }
    check()
    const timer = setInterval(check, checkEveryMs)
    return () => {
      clearInterval(timer)
      known.clear()
    }
  }
}
