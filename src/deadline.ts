// Waiting with an end, for what needs nothing done but to be told that it is late. Every deadline says what it
// waited for.

/** Rejects with `what` in its text when `work` takes longer than `timeoutMs`. The work itself goes on. */
export const within = async <T>(timeoutMs: number, what: string, work: Promise<T>): Promise<T> => {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => late.reject(new Error(`${what} took longer than ${timeoutMs} ms`)),
    timeoutMs,
  )
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** Asks `probe` every `everyMs` until it answers something else than undefined. */
export const until = async <T>(
  timeoutMs: number,
  what: string,
  probe: () => T | undefined | Promise<T | undefined>,
  everyMs = 10,
): Promise<T> => {
  const endsAt = performance.now() + timeoutMs
  for (;;) {
    const answer = await probe()
    if (answer !== undefined) return answer
    if (performance.now() > endsAt) throw new Error(`${what} took longer than ${timeoutMs} ms`)
    await Bun.sleep(everyMs)
  }
}
