// Redis refuses every write for want of memory, then has room again.
import { pause, type Fault } from '../fault.ts'

export const redisFull: Fault = {
  name: 'redis-full',
  title: 'Redis out of memory for a second at a time',
  async disturb(arena, signal) {
    let blows = 0
    while (!signal.aborted) {
      await arena.redis.config('SET', 'maxmemory', '1')
      await pause(1_000, signal)
      await arena.redis.config('SET', 'maxmemory', '0')
      blows += 1
      await pause(500, signal)
    }
    return blows
  },
}
