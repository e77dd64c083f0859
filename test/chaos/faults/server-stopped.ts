// A server process is stopped, as on a machine that swaps or is migrated, and continues.
import { pause, type Fault } from '../fault.ts'

const stoppedMs = { short: 5_000, long: 60_000 }

export const serverStopped: Fault = {
  name: 'server-stopped',
  title: 'a server stopped for 5 s or 60 s, then continued, in turn',
  longSeconds: 130,
  async disturb(arena, signal) {
    const { servers } = arena.cluster
    let injected = 0
    while (!signal.aborted) {
      const server = servers[injected % servers.length]!
      server.signal('SIGSTOP')
      await pause(arena.options.isLong ? stoppedMs.long : stoppedMs.short, signal)
      server.signal('SIGCONT')
      arena.healed()
      injected += 1
      await pause(1_000, signal)
    }
    return injected
  },
}
