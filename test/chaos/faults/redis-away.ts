// Redis is down for the whole fault.
import { pause, type Fault } from '../fault.ts'

export const redisAway: Fault = {
  name: 'redis-away',
  title: 'Redis down the whole time',
  longSeconds: 300,
  async disturb(arena, signal) {
    const { redis } = arena.cluster
    await redis.kill()
    await pause(1e9, signal)
    await redis.start()
    return 1
  },
}
