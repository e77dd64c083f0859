// Redis loses all data: FLUSHALL, and a SIGKILL after which it starts empty.
import { Injections } from '../injections.ts'
import { pause, type Fault } from '../fault.ts'

export const redisEmptied: Fault = {
  name: 'redis-emptied',
  title: 'FLUSHALL, and Redis killed and started empty, in turn',
  async disturb(arena, signal) {
    const { redis } = arena.cluster
    const injections = new Injections(arena, ['FLUSHALL', 'SIGKILL'])
    for (let turn = 0; !signal.aborted || injections.missing.length > 0; turn += 1) {
      const kind = turn % 2 === 0 ? 'FLUSHALL' : 'SIGKILL'
      if (kind === 'FLUSHALL') await arena.redis.flushall()
      else {
        await redis.kill()
        await redis.start()
      }
      injections.add(kind)
      await pause(500, signal)
    }
    return injections.finish()
  },
}
