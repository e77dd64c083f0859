// A semaphore for password hashes, which signed-in users and anonymous requests compete for. The two groups are served
// alternately, so that neither uses up the turns of the other; each signed-in user runs one piece of work at a time,
// served round-robin. It is not the fair queue: that bounds each caller, this also bounds and balances two groups, and a
// user keeps the place of an earlier arrival while its work runs.

interface Waiting {
  /** Undefined for an anonymous request. */
  userId: string | undefined
  start: () => void
}

export interface FairTurnsOptions {
  /** How many run at once. */
  atOnce: number
  /** How many may wait in each of the two groups. */
  maxWaiting: number
  /** How many of one user may wait. */
  maxWaitingPerUser: number
  /** Thrown at once where there is no room to wait. */
  refusal: () => Error
}

/** @returns a function that runs `work` in its turn, for a signed-in user or, with undefined, an anonymous request. */
export const createFairTurns = ({ atOnce, maxWaiting, maxWaitingPerUser, refusal }: FairTurnsOptions) => {
  const anonymous: Waiting[] = []
  /** By user, least recently served first. */
  const users = new Map<string, Waiting[]>()
  const busy = new Set<string>()
  let waitingUsers = 0
  let running = 0
  let isTurnOfUsers = false

  const nextUser = (): Waiting | undefined => {
    for (const [userId, queue] of users) {
      if (busy.has(userId)) continue
      users.delete(userId)
      const next = queue.shift()!
      if (queue.length > 0) users.set(userId, queue)
      busy.add(userId)
      waitingUsers -= 1
      return next
    }
    return undefined
  }

  const startNext = (): void => {
    while (running < atOnce) {
      const next = (isTurnOfUsers ? nextUser() : anonymous.shift()) ?? nextUser() ?? anonymous.shift()
      if (!next) return
      isTurnOfUsers = next.userId === undefined
      running += 1
      next.start()
    }
  }

  const enqueue = (waiting: Waiting): void => {
    const { userId } = waiting
    if (userId === undefined) {
      if (anonymous.length >= maxWaiting && running >= atOnce) throw refusal()
      anonymous.push(waiting)
      return
    }
    const queue = users.get(userId) ?? []
    const mayStart = running < atOnce && !busy.has(userId)
    if (!mayStart && (queue.length >= maxWaitingPerUser || waitingUsers >= maxWaiting)) throw refusal()
    queue.push(waiting)
    users.set(userId, queue)
    waitingUsers += 1
  }

  return async <T>(userId: string | undefined, work: () => Promise<T>): Promise<T> => {
    const turn = Promise.withResolvers<void>()
    enqueue({ userId, start: turn.resolve })
    startNext()
    await turn.promise
    try {
      return await work()
    } finally {
      running -= 1
      if (userId !== undefined) busy.delete(userId)
      startNext()
    }
  }
}
