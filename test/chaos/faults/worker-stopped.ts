// A worker process is stopped in the middle of its work and continues after another has taken over.
import { pause, type Fault } from '../fault.ts'

const stoppedMs = { short: 6_000, long: 60_000 }

export const workerStopped: Fault = {
  name: 'worker-stopped',
  title: 'a worker stopped for 6 s or 60 s, then continued, in turn',
  longSeconds: 130,
  async disturb(arena, signal) {
    const { workers } = arena.cluster
    let injected = 0
    do {
      const worker = workers[injected % workers.length]!
      arena.allowRepeatedMail()
      worker.signal('SIGSTOP')
      await Bun.sleep(arena.options.isLong ? stoppedMs.long : stoppedMs.short) // half a stop shows nothing
      worker.signal('SIGCONT')
      arena.healed()
      injected += 1
      await pause(1_000, signal)
    } while (!signal.aborted)
    return injected
  },
}
