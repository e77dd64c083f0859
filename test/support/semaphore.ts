// A FIFO semaphore for tests: at most `maxRunning` pieces of work at once, the others in the order of their calls.

export const createSemaphore = (maxRunning: number): (<T>(work: () => Promise<T>) => Promise<T>) => {
  const waiting: (() => void)[] = []
  let running = 0
  return async (work) => {
    if (running < maxRunning) running += 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next) next() // takes over this slot
      else running -= 1
    }
  }
}
