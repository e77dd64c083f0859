// Connections to PostgreSQL and Redis are slow: changing delays, resets, and closes that arrive seconds after they were
// sent. Single backends of PostgreSQL are terminated, so that it closes connections.
import { createRandom } from '../../oracle/random.ts'
import { Injections } from '../injections.ts'
import type { Fault } from '../fault.ts'
import type { Arena } from '../arena.ts'

const maxLatencyMs = 40
const slowCloseMs = 3_000
const resetShare = 0.2
const endShare = 0.2
const maxTurns = 60

const endBackend = ({ db }: Arena): Promise<unknown> =>
  db.read(
    (sql) => sql`
      select pg_terminate_backend(pid) from (
        select pid from pg_stat_activity
        where datname = current_database() and application_name like 'tasktide%'
        order by random()
        limit 1) one`,
  )

export const networkSlow: Fault = {
  name: 'network-slow',
  title: 'up to 40 ms more each way to PostgreSQL and Redis, resets, and closes that come 3 s late',
  async disturb(arena, signal) {
    const proxies = Object.values(arena.cluster.proxies!)
    const random = createRandom(arena.options.seed)
    const injections = new Injections(arena, ['delays', 'resets', 'late closes'])
    const lateCloses = (): number => proxies.reduce((sum, proxy) => sum + proxy.lateCloses, 0)
    let counted = lateCloses()
    for (const proxy of proxies) proxy.closeDelayMs = slowCloseMs
    for (let turn = 0; !signal.aborted || (injections.missing.length > 0 && turn < maxTurns); turn += 1) {
      const proxy = random.pick(proxies)
      proxy.latencyMs = random.between(1, maxLatencyMs)
      injections.add('delays')
      if (random.next() < resetShare && proxy.connections > 0) {
        proxy.reset()
        injections.add('resets')
      }
      if (random.next() < endShare) await endBackend(arena)
      await Bun.sleep(random.between(100, 500))
      injections.add('late closes', lateCloses() - counted)
      counted = lateCloses()
    }
    for (const proxy of proxies) Object.assign(proxy, { latencyMs: 0, closeDelayMs: 0 })
    return injections.finish()
  },
}
