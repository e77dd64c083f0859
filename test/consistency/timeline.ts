// A history with the indexes that the properties look into. Built once, in the time of a sort.
import type { Call, Frame, History, LogFact, Step } from './history.ts'
import { ScopeLog } from './scope-log.ts'

const projectPrefix = 'project:'

export const projectOf = (scope: string): string | null =>
  scope.startsWith(projectPrefix) ? scope.slice(projectPrefix.length) : null

export const isTask = (type: string): boolean => type.startsWith('task.')

export const isAnswered = ({ status }: Call): boolean => status >= 200 && status < 300

/** Whether its answer shows tasks as they are at the call, not as they were. */
export const isStrong = (call: Call): boolean =>
  isAnswered(call) && call.reads !== 'snapshot' && !call.replayed

const writing = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])
export const isWrite = ({ method }: Call): boolean => writing.has(method)

export class Timeline {
  readonly calls: Call[]
  /** Frames and steps, in the order of recording. */
  readonly stream: (Frame | Step)[]
  /** By user the entries that end or grant access to a project, in the order of the log. */
  readonly access = new Map<string, LogFact[]>()
  /** By scope, projects only. */
  readonly scopes = new Map<string, ScopeLog>()
  readonly #byNumber = new Map<string, LogFact>()
  readonly #versions = new Map<string, Map<number, LogFact>>()
  readonly #callsByKey = new Map<string, Call[]>()
  readonly #effects = new Map<Call, LogFact[]>()
  /** Of calls that repeat a request under its key the one that stands for all. */
  readonly #writes = new Map<Call, Call>()

  constructor(readonly history: History) {
    this.calls = history.events.filter((event) => event.kind === 'call')
    this.stream = history.events.filter((event) => event.kind !== 'call')
    for (const call of this.calls) if (call.key !== null && isWrite(call)) this.#addKey(call)
    for (const calls of this.#callsByKey.values()) if (calls.length > 1) this.#joinRepeats(calls)
    const ofScopes = Map.groupBy(history.final.log, ({ scope }) => scope)
    for (const [scope, facts] of ofScopes)
      if (projectOf(scope) !== null) this.scopes.set(scope, new ScopeLog(scope, facts))
    for (const fact of history.final.log) this.#addFact(fact)
  }

  #addKey(call: Call): void {
    const key = `${call.client} ${call.key}`
    const held = this.#callsByKey.get(key)
    if (held) held.push(call)
    else this.#callsByKey.set(key, [call])
  }

  /** Equal requests are one write: it happened after the first was sent and before the first was answered. */
  #joinRepeats(calls: Call[]): void {
    const groups = Map.groupBy(calls, ({ method, target }) => `${method} ${target}`)
    for (const own of groups.values()) {
      if (own.length === 1) continue
      const first = own.reduce((earliest, call) => (call.start < earliest.start ? call : earliest))
      const end = Math.min(...own.filter(isAnswered).map((call) => call.end))
      const write = end === first.end ? first : { ...first, end }
      for (const call of own) this.#writes.set(call, write)
    }
  }

  #addFact(fact: LogFact): void {
    const user = fact.revokes ?? (fact.type === 'member.added' ? fact.entity : null)
    if (user !== null) {
      const held = this.access.get(user)
      if (held) held.push(fact)
      else this.access.set(user, [fact])
    }
    const number = `${fact.position.shard}.${fact.position.seq}`
    if (!this.#byNumber.has(number)) this.#byNumber.set(number, fact)
    if (isTask(fact.type) && fact.entity !== null && projectOf(fact.scope) !== null) {
      const versions = this.#versions.get(fact.entity) ?? new Map<number, LogFact>()
      this.#versions.set(fact.entity, versions)
      if (!versions.has(fact.version)) versions.set(fact.version, fact)
    }
    const call = this.callOf(fact)
    if (!call) return
    const effects = this.#effects.get(call)
    if (effects) effects.push(fact)
    else this.#effects.set(call, [fact])
  }

  /** The entry of a number. */
  factAt({ shard, seq }: LogFact['position']): LogFact | null {
    return this.#byNumber.get(`${shard}.${seq}`) ?? null
  }

  /** The entry that gave the task this version. */
  factOf(task: string, version: number): LogFact | null {
    return this.#versions.get(task)?.get(version) ?? null
  }

  /** The task's entries by version, not ordered. */
  factsOf(task: string): Map<number, LogFact> {
    return this.#versions.get(task) ?? new Map()
  }

  get tasks(): Iterable<string> {
    return this.#versions.keys()
  }

  /** The calls of a session with a key: a key may serve several paths. */
  callsWithKey(client: string, key: string): readonly Call[] {
    return this.#callsByKey.get(`${client} ${key}`) ?? []
  }

  /** The call for all that repeat it. */
  writeOf(call: Call): Call {
    return this.#writes.get(call) ?? call
  }

  /** The call whose write the entry belongs to. Null for none, or where several paths share the key. */
  callOf({ actor, key, scope }: LogFact): Call | null {
    if (actor === null || key === null) return null
    const [first, ...others] = this.callsWithKey(actor, key)
    if (!first) return null
    if (others.every(({ target, method }) => target === first.target && method === first.method))
      return this.writeOf(first)
    const id = projectOf(scope)
    const own = [first, ...others].find(({ target }) => id !== null && target.includes(id))
    return own ? this.writeOf(own) : null
  }

  /** The entries that a call, or the one it repeats, appended, in the order of the log. */
  effectsOf(call: Call): readonly LogFact[] {
    return this.#effects.get(this.writeOf(call)) ?? []
  }

  scopeOf(project: string | null): ScopeLog | null {
    return project === null ? null : (this.scopes.get(projectPrefix + project) ?? null)
  }
}
