// Connections to PostgreSQL and Redis are slow: changing delays, resets, and closes that arrive seconds after they were
// sent.
import { createRandom } from '../../oracle/random.ts'
import { pause, type Fault } from '../fault.ts'

const maxLatencyMs = 40
const slowCloseMs = 3_000

export const networkSlow: Fault = {
  name: 'network-slow',
  title: 'up to 40 ms more each way to PostgreSQL and Redis, resets, and closes that come 3 s late',
  async disturb(arena, signal) {
    const proxies = Object.values(arena.cluster.proxies!)
    const random = createRandom(arena.options.seed)
    for (const proxy of proxies) proxy.closeDelayMs = slowCloseMs
    let injected = 0
    while (!signal.aborted) {
      const proxy = random.pick(proxies)
      proxy.latencyMs = random.between(0, maxLatencyMs)
      if (random.next() < 0.2) proxy.reset()
      injected += 1
      await pause(random.between(100, 500), signal)
    }
    for (const proxy of proxies) Object.assign(proxy, { latencyMs: 0, closeDelayMs: 0 })
    return injected
  },
}
