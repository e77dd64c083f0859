// How long to wait before the next attempt: the only random waits of the client, which runs without the server's sources
// and therefore has its own. Invariant: clients that failed together do not return together.
import type { Timing } from '../timing.ts'

/** A duration from a window, each as likely. */
export const randomMs = (fromMs: number, toMs: number): number => fromMs + Math.random() * (toMs - fromMs)

/** Full jitter: anything up to a cap that doubles from `baseMs` to `maxMs` with each failure (1 is the first). */
export const fullJitterMs = (failures: number, baseMs: number, maxMs: number): number =>
  randomMs(0, Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 30)))

/** Full jitter as `timing` prescribes it for everything but the attempts of one request. */
export const backOffMs = (
  failures: number,
  { backOffBaseMs, backOffMaxMs }: Pick<Timing, 'backOffBaseMs' | 'backOffMaxMs'>,
): number => fullJitterMs(failures, backOffBaseMs, backOffMaxMs)
