// Messages to one project that arrive once each, whatever happens to the server meanwhile: the writer of the rows about
// coming back. A message keeps its Idempotency-Key until it is acknowledged.

export interface MessagesOptions {
  /** Servers; the next is asked where one does not answer, as a balancer does. */
  urls: readonly string[]
  token: string
  projectId: string
  count: number
  everyMs: number
  /** Called before each message with its number. */
  onNext?: (index: number) => void
}

const patienceMs = 30_000
const retryMs = 20

/** Resolves with the attempts that failed, when every message was acknowledged. @throws after `patienceMs` of one. */
export const writeMessages = async (options: MessagesOptions): Promise<{ failedAttempts: number }> => {
  const { count, everyMs, onNext } = options
  const began = performance.now()
  let failedAttempts = 0
  for (let index = 0; index < count; index += 1) {
    await Bun.sleep(Math.max(0, began + index * everyMs - performance.now()))
    onNext?.(index)
    const key = crypto.randomUUID()
    const endsAt = performance.now() + patienceMs
    for (let attempt = 0; !(await isAcknowledged(options, attempt, index, key)); attempt += 1) {
      failedAttempts += 1
      if (performance.now() > endsAt) throw new Error(`message ${index} was not acknowledged`)
      await Bun.sleep(retryMs)
    }
  }
  return { failedAttempts }
}

const isAcknowledged = async (
  { urls, token, projectId }: MessagesOptions,
  attempt: number,
  index: number,
  key: string,
): Promise<boolean> => {
  try {
    const response = await fetch(`${urls[attempt % urls.length]}/api/tasks`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${token}`,
        'Content-Type': 'application/json',
        'Idempotency-Key': key,
      },
      body: JSON.stringify({ projectId, title: `Message ${index}` }),
      signal: AbortSignal.timeout(5_000),
    })
    await response.arrayBuffer()
    return response.status === 201
  } catch {
    return false
  }
}
