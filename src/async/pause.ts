// A sleep that ends early when its owner stops.
import { setTimeout } from 'node:timers/promises'

/** Resolves after `ms` or when `signal` aborts, whichever comes first. Never rejects. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  setTimeout(ms, undefined, { signal }).catch(() => {})
