// Which transport comes next. Invariant: polls are used only after `maxUnopenedSockets` sockets in a row did not open,
// and they make room for a socket from time to time: soon after an outage, rarely where sockets stay blocked.
import type { Timing } from '../timing.ts'
import type { Transport } from './transport.ts'

/** Sockets that never open, one after another, before polling is tried. */
const maxUnopenedSockets = 2

export class TransportChoice {
  #kind: Transport['kind'] = 'socket'
  #unopenedSockets = 0
  /** The current socket is a trial, while polls are known to work. */
  #isTrial = false
  /** Trials since a socket was open. */
  #trials = 0

  constructor(private readonly timing: Pick<Timing, 'pollBaseMs' | 'pollMaxMs'>) {}

  get kind(): Transport['kind'] {
    return this.#kind
  }

  /** Milliseconds of polling before a socket is tried. */
  get pollForMs(): number {
    const { pollBaseMs, pollMaxMs } = this.timing
    return Math.min(pollMaxMs, pollBaseMs * 2 ** Math.min(this.#trials, 30))
  }

  opened(kind: Transport['kind'] | undefined): void {
    this.#unopenedSockets = 0
    this.#isTrial = false
    if (kind === 'socket') this.#trials = 0
  }

  /** Polls ended to make room for a socket. */
  trySocket(): void {
    this.#kind = 'socket'
    this.#isTrial = true
    this.#trials += 1
  }

  /** A transport did not open. True if it was a trial: polls continue. */
  endTrial(): boolean {
    if (!this.#isTrial) return false
    this.#isTrial = false
    this.#kind = 'poll'
    return true
  }

  /** Counts a transport that did not open and was no trial. True for the first of a row, if it was a socket. */
  countUnopened(kind: Transport['kind']): boolean {
    this.#unopenedSockets += 1
    const isBlocked = kind === 'socket' && this.#unopenedSockets >= maxUnopenedSockets
    this.#kind = isBlocked ? 'poll' : 'socket'
    return kind === 'socket' && this.#unopenedSockets === 1
  }
}
