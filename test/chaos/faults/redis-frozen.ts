// Redis does not answer while its connections stay open: its process is stopped, then the network is half-open.
import { pause, type Fault } from '../fault.ts'

const frozenMs = 5_000

export const redisFrozen: Fault = {
  name: 'redis-frozen',
  title: 'Redis stopped for 5 s and half-open for 5 s, in turn',
  async disturb(arena, signal) {
    const { redis, proxies } = arena.cluster
    let injected = 0
    while (!signal.aborted) {
      if (injected % 2 === 0) {
        process.kill(redis.pid, 'SIGSTOP')
        await pause(frozenMs, signal)
        process.kill(redis.pid, 'SIGCONT')
      } else {
        proxies!.redis.blackhole()
        await pause(frozenMs, signal)
        proxies!.redis.heal()
      }
      injected += 1
      arena.healed()
      await pause(1_000, signal)
    }
    return injected
  },
}
