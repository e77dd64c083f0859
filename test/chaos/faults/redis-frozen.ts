// Redis does not answer while its connections stay open: its process is stopped, then the network is half-open.
import { pause, type Fault } from '../fault.ts'

const frozenMs = { short: 5_000, long: 30_000 }

export const redisFrozen: Fault = {
  name: 'redis-frozen',
  title: 'Redis stopped and half-open in turn, for 5 s or 30 s',
  longSeconds: 70,
  async disturb(arena, signal) {
    const { redis, proxies } = arena.cluster
    const ms = arena.options.isLong ? frozenMs.long : frozenMs.short
    let injected = 0
    while (!signal.aborted) {
      if (injected % 2 === 0) {
        process.kill(redis.pid, 'SIGSTOP')
        await pause(ms, signal)
        process.kill(redis.pid, 'SIGCONT')
      } else {
        proxies!.redis.blackhole()
        await pause(ms, signal)
        proxies!.redis.heal()
      }
      injected += 1
      arena.healed()
      await pause(1_000, signal)
    }
    return injected
  },
}
