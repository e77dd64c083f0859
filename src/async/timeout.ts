// Waiting with an end, for what needs nothing done but to be told that it is late. Every deadline says what it
// waited for.

/** Rejects with `what` in its text when `work` takes longer than `timeoutMs`. The work itself goes on. */
export const withTimeout = async <T>(timeoutMs: number, what: string, work: Promise<T>): Promise<T> => {
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

/**
 * The same, but time in which this process stood still does not count: the deadline is walked in steps, and a step that
 * came late counts as long as it should have taken. Between two steps the event loop reads its sockets, so that an
 * answer that arrived during a stall is seen before the deadline is.
 */
export const withinOwnTime = async <T>(
  timeoutMs: number,
  what: string,
  work: Promise<T>,
  stepMs = 5,
): Promise<T> => {
  const late = Promise.withResolvers<never>()
  let leftMs = timeoutMs
  const step = (): void => {
    leftMs -= stepMs
    if (leftMs > 0) timer = setTimeout(step, Math.min(stepMs, leftMs))
    else late.reject(new Error(`${what} took longer than ${timeoutMs} ms`))
  }
  let timer = setTimeout(step, Math.min(stepMs, leftMs))
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
