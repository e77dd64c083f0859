// All backends of PostgreSQL are terminated, as a failover or an operator does it.
import { pause, type Fault } from '../fault.ts'

export const postgresTerminated: Fault = {
  name: 'postgres-terminated',
  title: 'all backends of PostgreSQL terminated every second',
  async disturb(arena, signal) {
    let injected = 0
    while (!signal.aborted) {
      await arena.db.read(
        (sql) => sql`
          select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and application_name <> 'chaos'`,
      )
      injected += 1
      await pause(1_000, signal)
    }
    return injected
  },
}
