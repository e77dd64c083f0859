// All servers are killed at once, and all their sockets reconnect at once.
import { eventually } from '../../support/eventually.ts'
import type { Fault } from '../fault.ts'

const allSockets = 10_000
/** Refused clients back off up to 20 s. The time on a dedicated machine is measured by the bench. */
const liveWithinMs = 60_000

export const everyoneBack: Fault = {
  name: 'everyone-back',
  title: 'kill -9 of every server under thousands of sockets, which reconnect at once',
  async disturb(arena) {
    const { servers } = arena.cluster
    const sockets = arena.options.isLong ? allSockets : arena.options.sockets
    await using swarm = await arena.swarm(sockets)
    await Promise.all(servers.map((server) => arena.down(server, () => server.kill())))
    await Promise.all(servers.map((server) => server.start()))
    arena.healed()
    const beganAt = performance.now()
    await eventually(
      async () => {
        const { live } = await swarm.report()
        if (live < sockets) throw new Error(`${live} of ${sockets} sockets are live`)
      },
      { timeoutMs: 90_000, everyMs: 100 },
    )
    const liveMs = performance.now() - beganAt
    if (liveMs > liveWithinMs) arena.violations.push(`all live only after ${liveMs.toFixed(0)} ms`)
    const { closes, resumed } = await swarm.check()
    if (resumed.count < sockets)
      arena.violations.push(`only ${resumed.count} connections of ${sockets} sockets were resumed`)
    arena.notes.push(
      `${sockets} sockets live again ${(liveMs / 1000).toFixed(1)} s after the servers, p99 ${(resumed.p99 / 1000).toFixed(1)} s after their loss; closes ${JSON.stringify(closes)}`,
    )
    return servers.length
  },
}
