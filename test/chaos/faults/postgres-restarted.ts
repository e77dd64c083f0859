// PostgreSQL restarts, in order and by an immediate stop that leaves recovery to the next start.
import { Injections } from '../injections.ts'
import { pause, type Fault } from '../fault.ts'

export const postgresRestarted: Fault = {
  name: 'postgres-restarted',
  title: 'PostgreSQL restarted, fast and immediate in turn',
  async disturb(arena, signal) {
    const injections = new Injections(arena, ['fast', 'immediate'])
    for (let turn = 0; !signal.aborted || injections.missing.length > 0; turn += 1) {
      const mode = turn % 2 === 0 ? 'fast' : 'immediate'
      await arena.cluster.postgres.restart(mode)
      injections.add(mode)
      arena.healed()
      await pause(2_500, signal)
    }
    return injections.finish()
  },
}
