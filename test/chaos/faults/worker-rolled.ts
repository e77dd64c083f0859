// A deployment of workers: each in turn receives SIGTERM, hands its shards over, ends with 0 and is started again.
import { pause, type Fault } from '../fault.ts'

export const workerRolled: Fault = {
  name: 'worker-rolled',
  title: 'every worker stopped by SIGTERM and started again, in turn',
  async disturb(arena, signal) {
    const { workers } = arena.cluster
    let injected = 0
    while (!signal.aborted) {
      const worker = workers[injected % workers.length]!
      await arena.down(worker, async () => {
        const code = await worker.stop()
        if (code !== 0) arena.violations.push(`${worker.name} ended with ${code}`)
        await worker.start()
      })
      arena.healed()
      injected += 1
      await pause(1_000, signal)
    }
    return injected
  },
}
