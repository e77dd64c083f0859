// Long loops without blocking: a loop that takes turns with everything else the process has to do.
import { setImmediate } from 'node:timers/promises'

const defaultSliceMs = 2

/** Calls `work` for each item in order until it returns false; other events run after each slice of `sliceMs`. */
export const inSlices = async <T>(
  items: readonly T[],
  work: (item: T, index: number) => boolean | void,
  { sliceMs = defaultSliceMs, now = (): number => performance.now() } = {},
): Promise<void> => {
  let endsAt = now() + sliceMs
  for (const [index, item] of items.entries()) {
    if (work(item, index) === false) return
    if (now() < endsAt) continue
    await setImmediate()
    endsAt = now() + sliceMs
  }
}
