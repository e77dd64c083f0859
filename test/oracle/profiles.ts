// People who change their names, one after another, and what was acknowledged of it. Invariant: each name is used once.
import { pause } from '../../src/async/pause.ts'
import { expectStatus, type Api, type Person } from './api.ts'

export interface ProfilesOptions {
  /** Without a recorder: the numbers in its answers are those of user scopes, which no history has. */
  api: Api
  people: readonly Person[]
  /** Starts the names and keys. */
  prefix: string
  everyMs: number
}

export class Profiles {
  /** `user name` of each acknowledged change. */
  readonly changes: string[] = []
  /** Changes that were never acknowledged. */
  readonly faults: string[] = []
  readonly #stop = new AbortController()
  readonly #running: Promise<void>

  constructor(private readonly options: ProfilesOptions) {
    this.#running = this.#change()
  }

  /** Ends the changes; resolves once the one in flight is acknowledged. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #change(): Promise<void> {
    const { api, people, prefix, everyMs } = this.options
    const { signal } = this.#stop
    for (let n = 1; !signal.aborted; n += 1) {
      const { id, number, token } = people[n % people.length]!
      const name = `Person ${number} as ${prefix} ${n}`
      try {
        const answer = await api.call('PATCH', '/api/users/me', token, { name }, `${prefix}-profile-${n}`)
        expectStatus(answer, 200, 'profile')
      } catch (error) {
        this.faults.push(String(error))
        return
      }
      this.changes.push(`${id} ${name}`)
      await pause(everyMs, signal)
    }
  }
}
