// All clients of Redis lose their connections, by CLIENT KILL and by resets on the way.
import { pause, type Fault } from '../fault.ts'

export const redisCut: Fault = {
  name: 'redis-cut',
  title: 'every connection to Redis killed or reset',
  async disturb(arena, signal) {
    let blows = 0
    while (!signal.aborted) {
      if (blows % 2 === 0) await arena.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      else arena.cluster.proxies!.redis.reset()
      blows += 1
      await pause(300, signal)
    }
    return blows
  },
}
