// Redis refuses every write because it is out of memory, then accepts writes again.
import { pause, type Fault } from '../fault.ts'

export const redisFull: Fault = {
  name: 'redis-full',
  title: 'Redis out of memory for a second at a time',
  async disturb(arena, signal) {
    let injected = 0
    while (!signal.aborted) {
      await arena.redis.config('SET', 'maxmemory', '1')
      await pause(1_000, signal)
      await arena.redis.config('SET', 'maxmemory', '0')
      injected += 1
      await pause(500, signal)
    }
    return injected
  },
}
