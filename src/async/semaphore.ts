// So many at a time, the others in the order they came.

/** @param most how many run at once. @param mostWaiting beyond these `refusal` is thrown at once. */
export const createSemaphore = (
  most: number,
  mostWaiting = Infinity,
  refusal: () => Error = () => new Error('too many are waiting'),
): (<T>(work: () => Promise<T>) => Promise<T>) => {
  const waiting: (() => void)[] = []
  let running = 0
  return async (work) => {
    if (running < most) running += 1
    else {
      if (waiting.length >= mostWaiting) throw refusal()
      await new Promise<void>((resolve) => waiting.push(resolve))
    }
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next) next() // takes this turn over
      else running -= 1
    }
  }
}
