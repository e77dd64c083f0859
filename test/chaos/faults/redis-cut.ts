// All client connections of Redis are ended, by CLIENT KILL and by resets of the proxy.
import { Injections } from '../injections.ts'
import { pause, type Fault } from '../fault.ts'

const maxTurns = 20

export const redisCut: Fault = {
  name: 'redis-cut',
  title: 'every connection to Redis killed or reset',
  async disturb(arena, signal) {
    const { redis: proxy } = arena.cluster.proxies!
    const injections = new Injections(arena, ['killed', 'reset'])
    for (let turn = 0; !signal.aborted || (injections.missing.length > 0 && turn < maxTurns); turn += 1) {
      const isKill = turn % 2 === 0
      const cut = isKill
        ? Number(await arena.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'))
        : proxy.connections
      if (!isKill) proxy.reset()
      if (cut > 0) injections.add(isKill ? 'killed' : 'reset')
      await pause(300, signal)
    }
    return injections.finish()
  },
}
