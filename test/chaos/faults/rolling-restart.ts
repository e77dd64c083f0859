// A deployment: every server in turn receives SIGTERM, drains and is started again, while thousands of sockets follow
// and writers write. A balancer that asks /readyz sends nothing to a server that drains. No client reads a snapshot
// again, no request fails or is refused, all are live again in time.
import type { Fault } from '../fault.ts'
import { eventually } from '../../support/eventually.ts'

/** Including the up to 10 s of the window in `bye`. */
const liveWithinMs = 25_000
/** From the close, with the time that a client chooses in its window. */
const resumedP99Ms = 5_000
/** Longer than a balancer takes to notice. */
const drainDelaySeconds = 2

export const rollingRestart: Fault = {
  name: 'rolling-restart',
  title: 'every server stopped by SIGTERM and started again, in turn, under thousands of sockets',
  environment: { DRAIN_DELAY: String(drainDelaySeconds) },
  isBalanced: true,
  async disturb(arena) {
    const { servers } = arena.cluster
    const { counts } = arena.api
    const failedBefore = counts.failed
    const { sockets } = arena.options
    await using swarm = await arena.swarm(sockets)
    const began = performance.now()
    for (const server of servers) {
      await arena.down(server, () => server.stop())
      await server.start()
    }
    arena.healed()
    const restartedMs = performance.now() - began
    const isLive = async (): Promise<void> => {
      const { live } = await swarm.report()
      if (live < sockets) throw new Error(`${live} of ${sockets} sockets are live`)
    }
    await eventually(isLive, { timeoutMs: 60_000, everyMs: 100 })
    const liveMs = performance.now() - began - restartedMs
    if (liveMs > liveWithinMs)
      arena.violations.push(`all live only ${liveMs.toFixed(0)} ms after the last server was back`)
    const { resumed, closes } = await swarm.check()
    const failed = counts.failed - failedBefore
    if (failed > 0) arena.violations.push(`${failed} requests failed`)
    // Each lost its connection at least once: every server was restarted.
    if (resumed.count < sockets)
      arena.violations.push(`only ${resumed.count} connections of ${sockets} sockets were resumed`)
    if (resumed.p99 > resumedP99Ms)
      arena.violations.push(`sockets resumed within p99 ${resumed.p99.toFixed(0)} ms of their close`)
    arena.notes.push(
      `${sockets} sockets, ${servers.length} servers restarted in ${(restartedMs / 1000).toFixed(1)} s, ${failed} requests failed, ${counts.refused} refused, all live ${(liveMs / 1000).toFixed(1)} s after the last was back; ` +
        `${resumed.count} resumed within p99 ${(resumed.p99 / 1000).toFixed(1)} s of the close (${(resumed.p99AfterWait / 1000).toFixed(1)} s after the end of their retry window), closes ${JSON.stringify(closes)}`,
    )
    return servers.length
  },
}
