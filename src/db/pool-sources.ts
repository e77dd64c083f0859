// What a process exposes of its database pools.
import type { Sample } from '../metrics/exposition.ts'
import type { Database } from './client.ts'

/** @param pools by name; the main one also runs the calls of callers. */
export const poolSources = ({
  main,
  tail,
}: Record<'main' | 'tail', Pick<Database, 'calls' | 'poolUse'>>) => ({
  tasktide_db_calls_running: () => main.calls.running,
  tasktide_db_callers: () => main.calls.size,
  tasktide_db_pool_connections: () => {
    const { calls, batches } = main.poolUse()
    const pools = { calls, batches, tail: tail.poolUse().calls }
    return Object.entries(pools).flatMap(([pool, use]) =>
      Object.entries(use).map(([state, value]): Sample => ({ labels: { pool, state }, value })),
    )
  },
})
