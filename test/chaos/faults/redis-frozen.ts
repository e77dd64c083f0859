// Redis does not answer while its connections stay open: its process is stopped, then the network is half-open.
import { connect } from 'node:net'
import { Injections } from '../injections.ts'
import { pause, type Fault } from '../fault.ts'

const frozenMs = { short: 5_000, long: 30_000 }
const answerMs = 1_000
const maxTurns = 6

export const redisFrozen: Fault = {
  name: 'redis-frozen',
  title: 'Redis stopped and half-open in turn, for 5 s',
  longTitle: 'Redis stopped and half-open in turn, for 30 s',
  longSeconds: 70,
  async disturb(arena, signal) {
    const { redis, proxies } = arena.cluster
    const proxy = proxies!.redis
    const ms = arena.options.isLong ? frozenMs.long : frozenMs.short
    const kinds = {
      stopped: {
        begin: () => process.kill(redis.pid, 'SIGSTOP'),
        end: () => process.kill(redis.pid, 'SIGCONT'),
      },
      'half-open': { begin: () => proxy.blackhole(), end: () => proxy.heal() },
    }
    const injections = new Injections(arena, ['stopped', 'half-open'])
    for (let turn = 0; !signal.aborted || (injections.missing.length > 0 && turn < maxTurns); turn += 1) {
      const kind = turn % 2 === 0 ? 'stopped' : 'half-open'
      kinds[kind].begin()
      const [isAnswered] = await Promise.all([isAnswering(proxy.port), Bun.sleep(ms)]) // not shorter than the title says
      kinds[kind].end()
      if (!isAnswered) injections.add(kind)
      arena.healed()
      await pause(1_000, signal)
    }
    return injections.finish()
  },
}

/** Whether anything comes back from this port in time; without the password, an error of Redis. */
const isAnswering = async (port: number): Promise<boolean> => {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
  socket.on('data', () => resolve(true))
  socket.on('error', () => resolve(false))
  const timer = setTimeout(() => resolve(false), answerMs)
  const isAnswered = await promise
  clearTimeout(timer)
  socket.destroy()
  return isAnswered
}
