// All client connections of Redis are ended, by CLIENT KILL and by resets of the proxy.
import { pause, type Fault } from '../fault.ts'

export const redisCut: Fault = {
  name: 'redis-cut',
  title: 'every connection to Redis killed or reset',
  async disturb(arena, signal) {
    let injected = 0
    while (!signal.aborted) {
      if (injected % 2 === 0) await arena.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      else arena.cluster.proxies!.redis.reset()
      injected += 1
      await pause(300, signal)
    }
    return injected
  },
}
