// A semaphore for work that signed-in people and anybody else compete for. Two queues are served in turn, so that
// neither group can use up the turns of the other; among signed-in people each has one share: one piece of work at a
// time, served round robin.

interface Waiting {
  userId: string | undefined
  start: () => void
}

export interface FairTurnsOptions {
  /** How many run at once. */
  atOnce: number
  /** How many may wait in each of the two groups. */
  maxWaiting: number
  /** How many of one person may wait. */
  maxWaitingPerPerson: number
  /** Thrown at once where there is no room to wait. */
  refusal: () => Error
}

/** @returns runs `work` in its turn. `userId` names the signed-in person it is for, undefined for anybody else. */
export const createFairTurns = ({ atOnce, maxWaiting, maxWaitingPerPerson, refusal }: FairTurnsOptions) => {
  const anonymous: Waiting[] = []
  /** Per person, least recently served first. */
  const people = new Map<string, Waiting[]>()
  const busy = new Set<string>()
  let waitingPeople = 0
  let running = 0
  let isTurnOfPeople = false

  const nextPerson = (): Waiting | undefined => {
    for (const [userId, queue] of people) {
      if (busy.has(userId)) continue
      people.delete(userId)
      const next = queue.shift()!
      if (queue.length > 0) people.set(userId, queue)
      busy.add(userId)
      waitingPeople -= 1
      return next
    }
    return undefined
  }

  const startNext = (): void => {
    while (running < atOnce) {
      const next = (isTurnOfPeople ? nextPerson() : anonymous.shift()) ?? nextPerson() ?? anonymous.shift()
      if (!next) return
      isTurnOfPeople = next.userId === undefined
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
    const queue = people.get(userId) ?? []
    const mayStart = running < atOnce && !busy.has(userId)
    if (!mayStart && (queue.length >= maxWaitingPerPerson || waitingPeople >= maxWaiting)) throw refusal()
    queue.push(waiting)
    people.set(userId, queue)
    waitingPeople += 1
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
