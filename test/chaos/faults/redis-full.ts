// Redis refuses every write because it is out of memory, then accepts writes again.
import type { Redis } from '../../../src/redis/connection.ts'
import { pause, type Fault } from '../fault.ts'

export const redisFull: Fault = {
  name: 'redis-full',
  title: 'Redis out of memory for a second at a time',
  async disturb(arena, signal) {
    const before = await refusedOf(arena.redis)
    let injected = 0
    while (!signal.aborted) {
      await arena.redis.config('SET', 'maxmemory', '1')
      await Bun.sleep(1_000)
      await arena.redis.config('SET', 'maxmemory', '0')
      injected += 1
      await pause(500, signal)
    }
    const refused = (await refusedOf(arena.redis)) - before
    arena.notes.push(`${refused} commands refused`)
    if (refused === 0) arena.violations.push('Redis refused nothing: it was not out of memory')
    return injected
  },
}

/** Commands that Redis refused for want of memory, since its start. */
const refusedOf = async (redis: Redis): Promise<number> =>
  Number(/^errorstat_OOM:count=(\d+)/m.exec(await redis.info('errorstats'))?.[1] ?? 0)
