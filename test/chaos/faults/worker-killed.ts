// kill -9 of a worker every half second, in turn, started again at once.
import { pause, type Fault } from '../fault.ts'

export const workerKilled: Fault = {
  name: 'worker-killed',
  title: 'kill -9 of a worker every half second',
  async disturb(arena, signal) {
    const { workers } = arena.cluster
    let injected = 0
    while (!signal.aborted) {
      await arena.restart(workers[injected % workers.length]!)
      injected += 1
      await pause(500, signal)
    }
    return injected
  },
}
