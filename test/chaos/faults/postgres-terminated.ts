// All backends of PostgreSQL are terminated, as a failover or an operator does it.
import { pause, type Fault } from '../fault.ts'

/** @param everyMs between two terminations. */
export const terminateBackends =
  (everyMs: number): Fault['disturb'] =>
  async (arena, signal) => {
    let injected = 0
    while (!signal.aborted) {
      await arena.db.read(
        (sql) => sql`
          select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and application_name <> 'chaos'`,
      )
      injected += 1
      await pause(everyMs, signal)
    }
    return injected
  }

export const postgresTerminated: Fault = {
  name: 'postgres-terminated',
  title: 'all backends of PostgreSQL terminated every second',
  disturb: terminateBackends(1_000),
}
