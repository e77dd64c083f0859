// Unexpected ends of processes.
import type { Cluster, Role } from '../support/cluster.ts'

const lookEveryMs = 50

export class Ends {
  readonly #expected = new Map<Role, number>()

  /** However often the role ends while `work` runs, it is on purpose. May be nested. */
  async expected(role: Role, work: () => Promise<unknown>): Promise<void> {
    this.#expected.set(role, (this.#expected.get(role) ?? 0) + 1)
    await work()
    this.#expected.set(role, this.#expected.get(role)! - 1)
  }

  /** Calls `report` for every unexpected end, until the returned function is called. */
  watch({ servers, workers }: Cluster, report: (line: string) => void): () => void {
    const known = new Map<Role, Promise<number>>()
    const look = (): void => {
      for (const role of [...servers, ...workers]) {
        const { exited } = role
        if (known.get(role) === exited) continue
        known.set(role, exited)
        void exited.then((code) => {
          if (known.has(role) && !this.#expected.get(role)) report(`${role.name} ended by itself (${code})`)
          return code
        })
      }
    }
    look()
    const timer = setInterval(look, lookEveryMs)
    return () => {
      clearInterval(timer)
      known.clear()
    }
  }
}
