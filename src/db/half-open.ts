// Connections that will never answer again and never fail: half-open ones. Whatever owes an answer for a second is
// looked at from outside: over a fresh connection PostgreSQL is asked which of those backends it works for. The others
// wait for us as we wait for them. They are dropped, with whatever lies idle since, and their backends ended with the
// locks they hold.
import type postgres from 'postgres'
import type { Log } from '../log.ts'

/** What the patched driver tells of a connection of a pool. */
interface Connection {
  /** Null while it is being opened. */
  readonly pid: number | null
  /** `performance.now()` of the last that was heard of it, or of the question it owes the answer to. */
  readonly heardAt: number
  /** `other`: closed, or in a transaction that has not asked anything. */
  readonly state: 'owing' | 'idle' | 'other'
  /** Closes it at once: its queries fail with CONNECTION_CLOSED, and it is opened again by the next. */
  drop(): void
}

const silenceMs = 1_000
const checkEveryMs = 250
/** Looks overlap while they are not answered, so this is also how soon it is noticed that the network is back. */
const probeEveryMs = 500
const probeTimeoutMs = 1_500
/** On its way, and until it is noticed. */
const graceMs = 2_000

export interface HalfOpenOptions {
  pool: postgres.Sql
  /** A pool of the same settings with one connection. */
  openOne: () => postgres.Sql
  /** PostgreSQL ends what takes longer. */
  statementTimeoutMs: number
  log: Log
}

/** Watches the connections of a pool until it is disposed. */
export class HalfOpenWatch implements AsyncDisposable {
  readonly #connections: readonly Connection[]
  readonly #timer: Timer
  #probedAt = 0
  readonly #probes = new Map<postgres.Sql, Promise<void>>()
  /** Until when a connection that PostgreSQL worked for is not looked at again, and since when it was silent. */
  readonly #spared = new Map<Connection, { since: number; until: number }>()

  constructor(private readonly options: HalfOpenOptions) {
    this.#connections = connectionsOf(options.pool)
    this.#timer = setInterval(() => this.#check(), checkEveryMs)
    this.#timer.unref()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    for (const sql of this.#probes.keys()) void sql.end({ timeout: 0 })
    await Promise.all(this.#probes.values())
  }

  #check(): void {
    const now = performance.now()
    if (this.#probes.size > 0 && now - this.#probedAt < probeEveryMs) return
    const silent = this.#silent(now)
    if (silent.size === 0) return
    this.#probedAt = now
    const sql = this.options.openOne()
    this.#probes.set(
      sql,
      this.#probe(silent, sql).finally(() => this.#probes.delete(sql)),
    )
  }

  #silent(now: number): Map<Connection, number> {
    const silent = new Map<Connection, number>()
    for (const connection of this.#connections) {
      const { state, heardAt } = connection
      if (state !== 'owing' || now - heardAt < silenceMs) continue
      const spared = this.#spared.get(connection)
      if (spared?.since !== heardAt) this.#spared.delete(connection)
      else if (now < spared.until) continue
      silent.set(connection, heardAt)
    }
    return silent
  }

  async #probe(silent: Map<Connection, number>, sql: postgres.Sql): Promise<void> {
    const { log } = this.options
    const pids = [...silent.keys()].flatMap(({ pid }) => pid ?? [])
    const timer = setTimeout(() => void sql.end({ timeout: 0 }), probeTimeoutMs)
    try {
      const { own, working } = await selectWorking(sql, pids)
      const isDirect = own === connectionsOf(sql)[0]!.pid
      const dead = this.#dead(silent, isDirect ? working : this.#withinStatementTimeout(silent))
      if (dead.length === 0) return
      log.warn(
        { connections: dead.length, oncePerMinute: 'half-open' },
        'connections to PostgreSQL were dead and are dropped',
      )
      const backends = dead.flatMap(({ pid }) => pid ?? [])
      for (const connection of dead) connection.drop()
      if (isDirect) await terminateBackends(sql, backends)
    } catch (error) {
      log.debug({ err: error }, 'PostgreSQL could not be asked about silent connections')
    } finally {
      clearTimeout(timer)
      await sql.end({ timeout: 0 })
    }
  }

  /** Behind a pooler the pids are its inventions. What is known is how long a statement may take. */
  #withinStatementTimeout(silent: Map<Connection, number>): Set<number> {
    const from = performance.now() - this.options.statementTimeoutMs - graceMs
    return new Set([...silent].flatMap(([{ pid }, since]) => (pid !== null && since > from ? pid : [])))
  }

  /** Those of the silent that nobody works for, and what has lain idle since the first of them was asked. */
  #dead(silent: Map<Connection, number>, working: Set<number>): Connection[] {
    const dead: Connection[] = []
    let from = Infinity
    for (const [connection, since] of silent) {
      const { state, heardAt, pid } = connection
      if (state !== 'owing' || heardAt !== since) continue // it answered meanwhile
      if (pid !== null && working.has(pid)) {
        const now = performance.now()
        this.#spared.set(connection, { since, until: now + (now - since) / 4 })
      } else {
        dead.push(connection)
        from = Math.min(from, since)
      }
    }
    const idle = this.#connections.filter(({ state, heardAt }) => state === 'idle' && heardAt < from)
    return [...dead, ...idle]
  }
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- added by our patch
const connectionsOf = (pool: postgres.Sql) => (pool as unknown as { connections: Connection[] }).connections

/**
 * The backend that answers, and those of the others that do something: neither wait for their client, nor for a lock
 * that another of them holds. One that became idle just now counts as well: its answer may be on the way.
 */
const selectWorking = async (
  sql: postgres.Sql,
  pids: number[],
): Promise<{ own: number; working: Set<number> }> => {
  const [row] = await sql<{ own: number; working: number[] }[]>`
    select pg_backend_pid() as own, array(
      select pid from pg_stat_activity
      where pid = any(${pids}::int[]) and case
        when state like 'idle%' then state_change > clock_timestamp() - interval '500 ms'
        when wait_event_type = 'Client' then false
        when wait_event_type = 'Lock' then not pg_blocking_pids(pid) <@ ${pids}::int[]
        else true
      end) as working`
  return { own: row!.own, working: new Set(row!.working) }
}

/** They would hold their locks until PostgreSQL ends them, five seconds idle. */
const terminateBackends = async (sql: postgres.Sql, pids: number[]): Promise<void> => {
  await sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where pid = any(${pids}::int[]) and application_name = current_setting('application_name')`
}
