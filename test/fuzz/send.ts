// Sends a request and reads its answer whole.
import { sendRaw } from '../support/raw-http.ts'
import type { FuzzRequest } from './request.ts'

export interface FuzzAnswer {
  /** 0 where the connection was closed without an answer. */
  status: number
  headers: Headers
  text: string
  durationMs: number
}

/** Above what any answer may take, and below the timeout of a test. */
const timeoutMs = 20_000

export const send = async (url: string, request: FuzzRequest): Promise<FuzzAnswer> => {
  const startedAt = performance.now()
  const answer = request.raw === undefined ? await sendUsual(url, request) : await sendBytes(url, request.raw)
  return { ...answer, durationMs: performance.now() - startedAt }
}

type Received = Omit<FuzzAnswer, 'durationMs'>

const sendUsual = async (url: string, { method, path, headers, body }: FuzzRequest): Promise<Received> => {
  const response = await fetch(url + path, {
    method,
    headers,
    ...(body !== undefined && { body }),
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

const sendBytes = async (url: string, raw: string): Promise<Received> => {
  const [head = '', body = ''] = raw.split('\n\n')
  const { status, headers, body: text } = await sendRaw(url, head, body)
  // A chunked body is left as it came: nothing but its status is checked.
  return {
    status: Number.isNaN(status) ? 0 : status,
    headers: new Headers(Object.entries(headers).filter(([name]) => /^[\w-]+$/.test(name))),
    text,
  }
}
