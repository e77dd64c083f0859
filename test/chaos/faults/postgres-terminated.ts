// All backends of PostgreSQL are terminated, as a failover or an operator does it.
import { pause, type Fault } from '../fault.ts'

export const postgresTerminated: Fault = {
  name: 'postgres-terminated',
  title: 'all backends of PostgreSQL terminated every second',
  async disturb(arena, signal) {
    let injected = 0
    let ended = 0
    while (!signal.aborted) {
      const rows = await arena.db.read(
        (sql) => sql<{ isEnded: boolean }[]>`
          select pg_terminate_backend(pid) as "isEnded" from pg_stat_activity
          where datname = current_database() and application_name <> 'chaos'`,
      )
      injected += 1
      ended += rows.filter(({ isEnded }) => isEnded).length
      await pause(1_000, signal)
    }
    arena.notes.push(`${ended} backends terminated`)
    if (ended === 0) arena.violations.push('no backend was terminated')
    return injected
  },
}
