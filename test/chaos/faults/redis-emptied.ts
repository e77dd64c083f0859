// Redis forgets everything: FLUSHALL, and a kill -9 after which it starts empty.
import { pause, type Fault } from '../fault.ts'

export const redisEmptied: Fault = {
  name: 'redis-emptied',
  title: 'FLUSHALL, and Redis killed and started empty, in turn',
  async disturb(arena, signal) {
    const { redis } = arena.cluster
    let blows = 0
    while (!signal.aborted) {
      if (blows % 2 === 0) await arena.redis.flushall()
      else {
        await redis.kill()
        await redis.start()
      }
      blows += 1
      await pause(500, signal)
    }
    return blows
  },
}
