// Another program holds every free connection of PostgreSQL: calls with a connection continue, others wait.
import postgres from 'postgres'
import { pause, type Fault } from '../fault.ts'

const heldMs = 4_000
/** More than PostgreSQL's max_connections. */
const attempts = 300

export const postgresExhausted: Fault = {
  name: 'postgres-exhausted',
  title: 'half of the connections to PostgreSQL ended and all that are free taken, for 4 s at a time',
  async disturb(arena, signal) {
    let injected = 0
    while (!signal.aborted) {
      await arena.db.read(
        (sql) => sql`
          select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and application_name like 'tasktide%' and random() < 0.5`,
      )
      const takers = Array.from({ length: attempts }, () =>
        postgres(arena.cluster.databaseUrl, { max: 1, fetch_types: false, backoff: false }),
      )
      const taken = await Promise.allSettled(takers.map((sql) => sql`select 1`))
      await Bun.sleep(heldMs) // not shorter than the title says
      await Promise.all(takers.map((sql) => sql.end({ timeout: 1 })))
      arena.healed()
      injected += 1
      if (taken.every(({ status }) => status === 'fulfilled')) arena.violations.push('nothing was exhausted')
      await pause(3_000, signal)
    }
    return injected
  },
}
