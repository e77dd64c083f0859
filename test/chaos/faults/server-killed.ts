// kill -9 of a server, in turn, started again at once; the next one half a second after it is ready.
import { pause, type Fault } from '../fault.ts'

export const serverKilled: Fault = {
  name: 'server-killed',
  title: 'kill -9 of a server, in turn, half a second after the last one is ready again',
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
