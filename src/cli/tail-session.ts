// The REST calls of `tail`: a session that it opens, keeps and ends itself, and the list of the person's projects.
// Every call has a deadline.
import { TailEnded } from './tail-connection.ts'

const deadlineMs = 10_000
const signOutDeadlineMs = 2_000
const pageLength = 100

interface Answer {
  status: number
  /** Parsed JSON; null where there is none. */
  body: unknown
}

const call = async (
  url: string,
  path: string,
  { token, body, timeoutMs = deadlineMs }: { token?: string; body?: object; timeoutMs?: number },
): Promise<Answer> => {
  const response = await fetch(`${url}/api${path}`, {
    method: body ? 'POST' : 'GET',
    headers: {
      ...(body && { 'Content-Type': 'application/json' }),
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
    },
    ...(body && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(timeoutMs),
  })
  const text = await response.text()
  try {
    return { status: response.status, body: text === '' ? null : JSON.parse(text) }
  } catch {
    throw new TailEnded(`${url} does not answer as Tasktide does (${response.status}, no JSON)`)
  }
}

const textIn = ({ body }: Answer, field: string): string | null => {
  const value: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, field) : null
  return typeof value === 'string' ? value : null
}

/** A session from an address and a password: one, however often its access token runs out. */
export class TailSession {
  #refreshToken: string | null = null

  constructor(
    private readonly url: string,
    private readonly credentials: { email: string; password: string },
  ) {}

  /** A fresh access token. @throws TailEnded where the server refuses the person, another error where it is away. */
  async renew(): Promise<string> {
    const refreshed =
      this.#refreshToken === null
        ? null
        : await this.#open('/auth/refresh', { refreshToken: this.#refreshToken })
    const answer = refreshed?.token ? refreshed : await this.#open('/auth/login', this.credentials)
    if (answer.token !== null) return answer.token
    const isFinal = answer.status < 500 && answer.status !== 429
    throw new (isFinal ? TailEnded : Error)(`Signing in was answered with ${answer.status}`)
  }

  async #open(path: string, body: object): Promise<{ status: number; token: string | null }> {
    const answer = await call(this.url, path, { body })
    const token = answer.status === 200 ? textIn(answer, 'accessToken') : null
    this.#refreshToken = token === null ? null : textIn(answer, 'refreshToken')
    return { status: answer.status, token }
  }

  /** Ends the session, if there is one. Rejects when the server is away: the session then ends by its age. */
  async end(): Promise<void> {
    if (this.#refreshToken === null) return
    const body = { refreshToken: this.#refreshToken }
    this.#refreshToken = null
    await call(this.url, '/auth/logout', { body, timeoutMs: signOutDeadlineMs })
  }
}

/** Ids of at most `limit` projects of the person. */
export const listProjects = async (url: string, token: string, limit: number): Promise<string[]> => {
  const ids: string[] = []
  let cursor: string | null = null
  do {
    const query: string = new URLSearchParams({
      limit: String(pageLength),
      ...(cursor !== null && { cursor }),
    }).toString()
    const answer = await call(url, `/projects?${query}`, { token })
    const items: unknown =
      typeof answer.body === 'object' && answer.body !== null ? Reflect.get(answer.body, 'items') : null
    if (answer.status !== 200 || !Array.isArray(items))
      throw new Error(`the list of projects was answered with ${answer.status}`)
    for (const item of items) {
      const id = textIn({ status: 200, body: item }, 'id')
      if (id !== null) ids.push(id)
    }
    cursor = textIn(answer, 'nextCursor')
  } while (cursor !== null && ids.length < limit)
  return ids.slice(0, limit)
}
