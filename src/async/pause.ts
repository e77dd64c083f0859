// Waiting that ends early when its owner stops.
import { setTimeout } from 'node:timers/promises'

/** Resolves after `ms` or when `signal` aborts, whichever comes first. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  setTimeout(ms, undefined, { signal }).catch(() => {})

/** Full jitter around a doubling wait: `baseMs` for the first failure, at most `maxMs`. */
export const backoffMs = (failures: number, baseMs: number, maxMs: number): number =>
  Math.min(baseMs * 2 ** (failures - 1), maxMs) * (0.5 + Math.random() / 2)
