// Finds half-open connections of a pool and closes them. Problem: after a network cut a connection neither answers nor
// fails. Naively a timeout would end it, but a slow statement looks the same from here. So a connection that has not
// answered for a second is checked from a new connection: pg_stat_activity lists which backends are working. A backend
// that waits for its client while the client waits for it is half-open: its connection is closed, together with
// connections idle since then, and its backend is terminated, which releases its locks. Invariant: silence counts only
// time in which this process ran, and what arrived is read before a connection is judged.
import type postgres from 'postgres'
import { StallMeter } from '../async/stall-meter.ts'
import { withTimeout } from '../async/timeout.ts'
import type { Log } from '../log.ts'

/** What the patched driver exposes of a connection of a pool. */
interface Connection {
  /** Null while it is being opened. */
  readonly pid: number | null
  /** `performance.now()` of the last data received, or of the query sent after it. */
  readonly heardAt: number
  /** `owing`: a query has no answer yet. `other`: closed, or in a transaction without a running query. */
  readonly state: 'owing' | 'idle' | 'other'
  /** Closes it at once: its queries fail with CONNECTION_CLOSED; the next query opens it again. */
  drop(): void
}

export type PoolUse = Record<Connection['state'], number>

const silenceMs = 1_000
const checkEveryMs = 250
/** Probes overlap while none is answered, so this also bounds how late the return of the network is noticed. */
const probeEveryMs = 500
const probeTimeoutMs = 1_500
/** For the way of PostgreSQL's error and its processing. */
const graceMs = 2_000

export interface HalfOpenOptions {
  pool: postgres.Sql
  /** A pool of the same settings with one connection. */
  openOne: () => postgres.Sql
  /** PostgreSQL cancels statements that take longer. */
  statementTimeoutMs: number
  log: Log
}

/** A connection that owes an answer. */
interface Silence {
  /** Its `heardAt`. */
  since: number
  /** Of the time since then: how long this process did not run. */
  stalledMs: number
  /** Its backend was working: no probe before the silence is this long. */
  sparedMs: number
}

/** Watches the connections of a pool until it is disposed. */
export class HalfOpenWatch implements AsyncDisposable {
  readonly #connections: readonly Connection[]
  readonly #timer: Timer
  #probedAt = 0
  readonly #probes = new Map<postgres.Sql, Promise<void>>()
  readonly #silences = new Map<Connection, Silence>()
  readonly #stalls = new StallMeter(checkEveryMs)

  constructor(private readonly options: HalfOpenOptions) {
    this.#connections = connectionsOf(options.pool)
    this.#timer = setInterval(() => this.#check(), checkEveryMs)
    this.#timer.unref()
  }

  /** Connections by state. */
  use(): PoolUse {
    const use: PoolUse = { owing: 0, idle: 0, other: 0 }
    for (const { state } of this.#connections) use[state] += 1
    return use
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    for (const sql of this.#probes.keys()) void sql.end({ timeout: 0 })
    await Promise.all(this.#probes.values())
  }

  #check(): void {
    const now = performance.now()
    this.#measure(now)
    if (this.#probes.size > 0 && now - this.#probedAt < probeEveryMs) return
    const silent = [...this.#silences].filter(
      ([, silence]) => lengthOf(silence, now) >= Math.max(silenceMs, silence.sparedMs),
    )
    if (silent.length === 0) return
    this.#probedAt = now
    const sql = this.options.openOne()
    this.#probes.set(
      sql,
      this.#probe(new Map(silent), sql).finally(() => this.#probes.delete(sql)),
    )
  }

  #measure(now: number): void {
    const stalledMs = this.#stalls.tick(now)
    for (const connection of this.#connections) {
      const { state, heardAt } = connection
      const known = this.#silences.get(connection)
      if (state !== 'owing') this.#silences.delete(connection)
      else if (known?.since === heardAt) known.stalledMs += stalledMs
      else
        this.#silences.set(connection, {
          since: heardAt,
          stalledMs: Math.min(stalledMs, now - heardAt),
          sparedMs: 0,
        })
    }
  }

  async #probe(silent: Map<Connection, Silence>, sql: postgres.Sql): Promise<void> {
    const { log } = this.options
    const pids = [...silent.keys()].flatMap(({ pid }) => pid ?? [])
    try {
      await withTimeout(probeTimeoutMs, 'a probe', this.#closeDead(silent, pids, sql))
    } catch (error) {
      log.debug({ err: error }, 'probe of silent PostgreSQL connections failed')
    } finally {
      await sql.end({ timeout: 0 })
    }
  }

  async #closeDead(silent: Map<Connection, Silence>, pids: number[], sql: postgres.Sql): Promise<void> {
    const { own, working } = await selectWorking(sql, pids)
    // After a stall the answers of the others may wait in their sockets: one turn of the event loop reads them.
    await Bun.sleep(1)
    const isDirect = own === connectionsOf(sql)[0]!.pid
    const dead = this.#dead(silent, isDirect ? working : this.#withinStatementTimeout(silent))
    if (dead.length === 0) return
    this.options.log.warn(
      { connections: dead.length, oncePerMinute: 'half-open' },
      'half-open connections to PostgreSQL closed',
    )
    const backends = dead.flatMap(({ pid }) => pid ?? [])
    for (const connection of dead) connection.drop()
    if (isDirect) await terminateBackends(sql, backends)
  }

  /** A pooler reports pids of its own, so only the statement timeout bounds the time of an answer. */
  #withinStatementTimeout(silent: Map<Connection, Silence>): Set<number> {
    const now = performance.now()
    const maxMs = this.options.statementTimeoutMs + graceMs
    return new Set(
      [...silent].flatMap(([{ pid }, it]) => (pid !== null && lengthOf(it, now) < maxMs ? pid : [])),
    )
  }

  /** Silent connections without a working backend, and connections idle since before the first of their queries. */
  #dead(silent: Map<Connection, Silence>, working: Set<number>): Connection[] {
    const dead: Connection[] = []
    let from = Infinity
    for (const [connection, silence] of silent) {
      const { state, heardAt, pid } = connection
      if (state !== 'owing' || heardAt !== silence.since) continue // it answered during the probe
      if (pid !== null && working.has(pid)) {
        silence.sparedMs = lengthOf(silence, performance.now()) * 1.25
      } else {
        dead.push(connection)
        from = Math.min(from, silence.since)
      }
    }
    if (dead.length === 0) return []
    const idle = this.#connections.filter(({ state, heardAt }) => state === 'idle' && heardAt < from)
    return [...dead, ...idle]
  }
}

/** In milliseconds in which this process ran. */
const lengthOf = ({ since, stalledMs }: Silence, now: number): number => now - since - stalledMs

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- added by our patch
const connectionsOf = (pool: postgres.Sql) => (pool as unknown as { connections: Connection[] }).connections

/**
 * The pid of the answering backend, and which of `pids` are working: not waiting for their client, nor for a lock
 * that only others of `pids` hold which are not working. A backend that became idle within 500 ms counts as working:
 * its answer may be on the way.
 */
const selectWorking = async (
  sql: postgres.Sql,
  pids: number[],
): Promise<{ own: number; working: Set<number> }> => {
  const [row] = await sql<{ own: number; working: number[] }[]>`
    with recursive backends as materialized (
      select pid, wait_event_type = 'Lock' is true as is_blocked, pg_blocking_pids(pid) as blockers, case
          when state like 'idle%' then state_change > clock_timestamp() - interval '500 ms'
          when wait_event_type = 'Client' then false
          when wait_event_type = 'Lock' then not pg_blocking_pids(pid) <@ ${pids}::int[]
          else true
        end as is_working
      from pg_stat_activity
      where pid = any(${pids}::int[])
    ), working as (
      select pid from backends where is_working
      union
      select backends.pid from backends join working on working.pid = any(backends.blockers)
      where is_blocked
    )
    select pg_backend_pid() as own, array(select pid from working) as working`
  return { own: row!.own, working: new Set(row!.working) }
}

/** Without this they hold their locks until idle_in_transaction_session_timeout (5 s). */
const terminateBackends = async (sql: postgres.Sql, pids: number[]): Promise<void> => {
  await sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where pid = any(${pids}::int[]) and application_name = current_setting('application_name')`
}
