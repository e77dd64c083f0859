// A server process is stopped, as on a machine that swaps or is migrated, and continues. A balancer sends its requests to
// the others meanwhile.
import { Injections } from '../injections.ts'
import { pause, type Fault } from '../fault.ts'

const stoppedMs = { short: 5_000, long: 60_000 }
const maxTurns = 4

export const serverStopped: Fault = {
  name: 'server-stopped',
  title: 'a server stopped for 5 s, then continued, in turn, behind a balancer',
  longTitle: 'a server stopped for 60 s, then continued, in turn, behind a balancer',
  longSeconds: 130,
  isBalanced: true,
  async disturb(arena, signal) {
    const servers = arena.cluster.servers.slice(0, 2)
    const injections = new Injections(
      arena,
      servers.map(({ name }) => name),
    )
    for (let turn = 0; !signal.aborted || (injections.missing.length > 0 && turn < maxTurns); turn += 1) {
      const server = servers[turn % servers.length]!
      server.signal('SIGSTOP')
      await Bun.sleep(arena.options.isLong ? stoppedMs.long : stoppedMs.short) // half a stop shows nothing
      if (arena.api.avoided.has(server.url)) injections.add(server.name)
      server.signal('SIGCONT')
      arena.healed()
      await pause(1_000, signal)
    }
    return injections.finish()
  },
}
