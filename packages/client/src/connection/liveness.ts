// Detects that the peer of a socket no longer answers: a dead network closes no socket. Pings at an interval, and reports the socket
// dead when nothing has been received for too long, or not soon after a probe.
import type { Timers } from '../async/timers.ts'
import type { Timing } from '../timing.ts'

/**
 * Timers do not run while a device sleeps, and continue with what was left of them: checks this often find a connection
 * that died meanwhile soon after it wakes. The last check is when the silence is as long as it may be.
 */
const checksPerSilence = 8

interface LivenessDeps {
  /** Cleared by the transport when it ends. */
  timers: Pick<Timers, 'after' | 'every'>
  timing: Pick<Timing, 'pingMs' | 'deadMs' | 'probeMs'>
  sendPing(): void
  dead(cause: Error): void
}

export class Liveness {
  #lastReceivedAt = 0

  constructor(private readonly deps: LivenessDeps) {}

  /** A frame arrived. */
  received(): void {
    this.#lastReceivedAt = Date.now()
  }

  /** @param heartbeat the server's intervals in milliseconds; shorter ones of `timing` win. */
  start(heartbeat: { ping: number; dead: number }): void {
    const { timers, timing } = this.deps
    timers.every(Math.min(heartbeat.ping, timing.pingMs), () => this.deps.sendPing())
    const deadMs = Math.min(heartbeat.dead, timing.deadMs)
    this.#checkIn(deadMs / checksPerSilence, deadMs)
  }

  #checkIn(ms: number, deadMs: number): void {
    this.deps.timers.after(ms, () => {
      // The clock of the device may have been set back.
      const silentMs = Math.abs(Date.now() - this.#lastReceivedAt)
      if (silentMs >= deadMs) return this.#reportDead(deadMs)
      this.#checkIn(Math.min(deadMs - silentMs, deadMs / checksPerSilence), deadMs)
    })
  }

  /** Pings now, and expects a frame within `probeMs`. */
  probe(): void {
    const { timers, timing } = this.deps
    const probedAt = (this.#lastReceivedAt = Date.now())
    this.deps.sendPing()
    timers.after(timing.probeMs, () => {
      if (this.#lastReceivedAt === probedAt) this.#reportDead(timing.probeMs)
    })
  }

  #reportDead(silentMs: number): void {
    this.deps.dead(new Error(`nothing received for ${silentMs} ms`))
  }
}
