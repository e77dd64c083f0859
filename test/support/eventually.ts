// Waiting for something to become true, instead of sleeping and hoping. Ends with the last failure it saw.

interface Patience {
  timeoutMs?: number
  everyMs?: number
}

/** Runs `assertion` until it no longer throws and answers its value; after `timeoutMs` throws what it threw last. */
export const eventually = async <T>(
  assertion: () => T | Promise<T>,
  { timeoutMs = 5_000, everyMs = 10 }: Patience = {},
): Promise<T> => {
  const endsAt = performance.now() + timeoutMs
  for (;;) {
    try {
      return await assertion()
    } catch (error) {
      if (performance.now() > endsAt) throw error
      await Bun.sleep(everyMs)
    }
  }
}
