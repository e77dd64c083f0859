// A worker process is stopped in the middle of its work and continues after another has taken over.
import { readinessOf } from '../balancer.ts'
import { Injections } from '../injections.ts'
import { pause, type Fault } from '../fault.ts'

const stoppedMs = { short: 6_000, long: 60_000 }
const maxTurns = 4

export const workerStopped: Fault = {
  name: 'worker-stopped',
  title: 'a worker stopped for 6 s, then continued, in turn',
  longTitle: 'a worker stopped for 60 s, then continued, in turn',
  longSeconds: 130,
  async disturb(arena, signal) {
    const workers = arena.cluster.workers.slice(0, 2)
    const injections = new Injections(
      arena,
      workers.map(({ name }) => name),
    )
    for (let turn = 0; !signal.aborted || (injections.missing.length > 0 && turn < maxTurns); turn += 1) {
      const worker = workers[turn % workers.length]!
      arena.allowRepeatedMail()
      worker.signal('SIGSTOP')
      await Bun.sleep(arena.options.isLong ? stoppedMs.long : stoppedMs.short) // half a stop shows nothing
      if ((await readinessOf(worker.url)) === 'silent') injections.add(worker.name)
      worker.signal('SIGCONT')
      arena.healed()
      await pause(1_000, signal)
    }
    return injections.finish()
  },
}
