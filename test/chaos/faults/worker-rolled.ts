// A deployment of workers: each in turn receives SIGTERM, hands its shards over, ends with 0 and is started again.
import { Injections } from '../injections.ts'
import { pause, type Fault } from '../fault.ts'

export const workerRolled: Fault = {
  name: 'worker-rolled',
  title: 'every worker stopped by SIGTERM and started again, in turn',
  async disturb(arena, signal) {
    const { workers } = arena.cluster
    const injections = new Injections(
      arena,
      workers.map(({ name }) => name),
    )
    for (let turn = 0; !signal.aborted || injections.missing.length > 0; turn += 1) {
      const worker = workers[turn % workers.length]!
      await arena.down(worker, async () => {
        const code = await worker.stop()
        if (code !== 0) arena.violations.push(`${worker.name} ended with ${code}`)
        await worker.start()
      })
      arena.healed()
      injections.add(worker.name)
      await pause(1_000, signal)
    }
    return injections.finish()
  },
}
