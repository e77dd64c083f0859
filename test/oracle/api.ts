// A REST client that repeats every write under its Idempotency-Key, also on another server, until a server acknowledges
// it. A recorder records each request with its last answer.
import type { Recorder } from '../consistency/recorder.ts'

export interface Person {
  number: number
  id: string
  token: string
}

export interface Answer {
  status: number
  body: any
  headers: Headers
}

export interface Api {
  /** Repeats on 5xx, 409 `idempotency_in_flight` and lost connections, with the same key, for at most 60 s. */
  call(
    method: string,
    path: string,
    token: string | null,
    body?: unknown,
    key?: string,
    ifMatch?: number,
  ): Promise<Answer>
  /**
   * Of attempts: `hung` have no answer within 10 s, `failed` end with 5xx or lose their connection, `refused` find no server
   * that listens, `leaking` are answered with a 5xx that is no problem document or names internals.
   */
  readonly counts: {
    requests: number
    retries: number
    hung: number
    failed: number
    refused: number
    leaking: number
  }
  /** Addresses of servers that a balancer sends nothing to; where these are all servers, each receives requests. */
  readonly avoided: Set<string>
  /** Ends the attempts that wait for the server at this address: they fail, and are repeated elsewhere. */
  endRequests(url: string): void
  /** Disturbs the next attempt of a write: its response is lost, or it is sent twice concurrently. */
  interfere: (() => 'none' | 'lose' | 'twice') | null
  /** Milliseconds from the first request that failed until the next acknowledgement after it, largest. */
  readonly longestOutageMs: number
}

const attemptTimeoutMs = 10_000
const giveUpMs = 60_000

const internals =
  /\b(?:select\s.*\sfrom|insert into|update\s.*\sset|delete from)\b|\bat .*\.[jt]s:\d|node_modules|(?:postgres(?:ql)?|rediss?):\/\/|ECONN|127\.0\.0\.1/is

/** Whether a 5xx shows what only operators may see, or is not what clients can read. */
export const isLeaking = (text: string): boolean => {
  try {
    return typeof JSON.parse(text).code !== 'string' || internals.test(text)
  } catch {
    return true
  }
}

/** Bun's codes of a connection that was never accepted. */
const refusedCodes = ['ECONNREFUSED', 'ConnectionRefused']

const isRefused = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && refusedCodes.includes(String(error.code))

/** The servers in turn; one that is down may be up at the next attempt. */
export interface Servers {
  servers: readonly { readonly url: string }[]
}

/** @param avoided of another client, to share it. */
export const createApi = (
  { servers }: Servers,
  recorder?: Recorder,
  avoided: Api['avoided'] = new Set<string>(),
): Api => {
  const counts = { requests: 0, retries: 0, hung: 0, failed: 0, refused: 0, leaking: 0 }
  const inFlight = new Set<{ url: string; abort: AbortController }>()
  let longestOutageMs = 0
  let turn = 0
  let interfere: Api['interfere'] = null
  const call: Api['call'] = async (method, path, token, body, key, ifMatch) => {
    const startedAt = performance.now()
    let attemptedAt = startedAt
    let failedAt: number | null = null
    let lastFailure = ''
    let attempts = 0
    const record = (answer: Answer | null): void =>
      recorder?.call({
        method,
        path,
        token,
        key,
        ifMatch: ifMatch ?? null,
        attempts,
        start: method === 'GET' ? attemptedAt : startedAt, // an earlier attempt of a read has no effect
        end: performance.now(),
        answer,
      })
    for (let attempt = 0; performance.now() - startedAt < giveUpMs; attempt += 1) {
      attemptedAt = performance.now()
      const interference = key === undefined ? 'none' : (interfere?.() ?? 'none')
      const ask = async (): Promise<Answer> => {
        attempts += 1
        const ready = servers.filter(({ url }) => !avoided.has(url))
        const able = ready.length > 0 ? ready : servers
        const { url } = able[(turn += 1) % able.length]!
        const one = { url, abort: new AbortController() }
        inFlight.add(one)
        const late = setTimeout(() => {
          counts.hung += 1
          one.abort.abort(new Error(`no answer within ${attemptTimeoutMs} ms`))
        }, attemptTimeoutMs)
        try {
          const response = await fetch(url + path, {
            method,
            headers: {
              ...(token && { Authorization: `Bearer ${token}` }),
              ...(body !== undefined && { 'Content-Type': 'application/json' }),
              ...(key !== undefined && { 'Idempotency-Key': key }),
              ...(ifMatch !== undefined && { 'If-Match': `"${ifMatch}"` }),
            },
            ...(body !== undefined && { body: JSON.stringify(body) }),
            signal: one.abort.signal,
          })
          const text = await response.text()
          if (response.status >= 500 && isLeaking(text)) counts.leaking += 1
          return {
            status: response.status,
            body: text === '' ? null : JSON.parse(text),
            headers: response.headers,
          }
        } finally {
          clearTimeout(late)
          inFlight.delete(one)
        }
      }
      try {
        const [answer] = await Promise.all(interference === 'twice' ? [ask(), ask()] : [ask()])
        if (interference === 'lose') throw new Error('the answer was lost')
        if (answer.status < 500 && answer.body?.code !== 'idempotency_in_flight') {
          counts.requests += 1
          if (failedAt !== null) longestOutageMs = Math.max(longestOutageMs, performance.now() - failedAt)
          record(answer)
          return answer
        }
        lastFailure = `${answer.status} ${answer.body?.code}`
        if (answer.status >= 500) counts.failed += 1
      } catch (error) {
        lastFailure = String(error)
        if (isRefused(error)) counts.refused += 1
        else if (interference !== 'lose') counts.failed += 1
      }
      failedAt ??= performance.now()
      counts.retries += 1
      await Bun.sleep(Math.min(20 * 2 ** attempt, 250) * Math.random())
    }
    record(null)
    throw new Error(`${method} ${path} was never acknowledged: ${lastFailure}`)
  }
  return {
    call,
    counts,
    avoided,
    endRequests: (url) => {
      for (const one of inFlight) if (one.url === url) one.abort.abort(new Error(`${url} is silent`))
    },
    get interfere() {
      return interfere
    },
    set interfere(value) {
      interfere = value
    },
    get longestOutageMs() {
      return longestOutageMs
    },
  }
}

/** The body of an answer with the wanted status; throws on another status. */
export const expectStatus = ({ status, body }: Answer, wanted: number, what: string): any => {
  if (status !== wanted) throw new Error(`${what}: ${status} instead of ${wanted}: ${JSON.stringify(body)}`)
  return body
}
