// kill -9 of a server every half second, in turn, started again at once.
import { pause, type Fault } from '../fault.ts'

export const serverKilled: Fault = {
  name: 'server-killed',
  title: 'kill -9 of a server every half second',
  async disturb(arena, signal) {
    const { servers } = arena.cluster
    let injected = 0
    while (!signal.aborted) {
      await arena.restart(servers[injected % servers.length]!)
      injected += 1
      await pause(500, signal)
    }
    return injected
  },
}
