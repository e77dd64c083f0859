// Redis loses all data: FLUSHALL, and a SIGKILL after which it starts empty.
import { pause, type Fault } from '../fault.ts'

export const redisEmptied: Fault = {
  name: 'redis-emptied',
  title: 'FLUSHALL, and Redis killed and started empty, in turn',
  async disturb(arena, signal) {
    const { redis } = arena.cluster
    let injected = 0
    while (!signal.aborted) {
      if (injected % 2 === 0) await arena.redis.flushall()
      else {
        await redis.kill()
        await redis.start()
      }
      injected += 1
      await pause(500, signal)
    }
    return injected
  },
}
