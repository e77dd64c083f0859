// What is wrong with an answer: against the document, against the rules of every answer, against what was to become of
// the request.
import { codes, statusOf } from '../../src/errors.ts'
import type { Contract } from '../support/contract.ts'
import { isBeyondSchema, type ProblemBody } from './beyond-schema.ts'
import type { FuzzRequest } from './request.ts'
import type { FuzzAnswer } from './send.ts'

/** No answer takes longer. */
const maxMs = 10_000

const always: [name: string, value: RegExp][] = [
  ['x-content-type-options', /^nosniff$/],
  ['content-security-policy', /default-src 'none'/],
  ['referrer-policy', /^no-referrer$/],
  ['x-request-id', /^[\w.:@/+=-]{1,128}$/],
]

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

export const createVerdict =
  (contract: Contract) =>
  (request: FuzzRequest, answer: FuzzAnswer): string[] => {
    const { status, headers, text, durationMs } = answer
    const isDuly503 = status === 503 && headers.has('retry-after')
    const found: string[] = []
    // 505 is Bun's for a request line that names another version.
    if (status >= 500 && !isDuly503 && !(request.raw !== undefined && status === 505))
      found.push(`answered ${status}`)
    if (durationMs > maxMs) found.push(`took ${Math.round(durationMs)} ms`)
    // Bun answers what is no HTTP by itself.
    if (request.raw !== undefined) {
      if (request.right && !request.right(status)) found.push(`${request.what} was answered with ${status}`)
      const isProblem = status >= 400 && text.startsWith('{') && !text.includes('HTTP/1')
      return isProblem ? [...found, ...problemFaults(request, answer)] : found
    }
    for (const [name, value] of always)
      if (!value.test(headers.get(name) ?? ''))
        found.push(`has the header ${name}: ${String(headers.get(name))}`)
    for (const name of ['server', 'x-powered-by']) if (headers.has(name)) found.push(`has the header ${name}`)
    found.push(...contractFaults(contract, request, answer))
    if (status >= 400) found.push(...problemFaults(request, answer))
    if (isDuly503) return found
    // Another request of the run may have revoked the personal access token.
    if (status === 401 && (request.headers['Authorization'] ?? '').startsWith('Bearer ttp_')) return found
    if (request.right) {
      if (!request.right(status)) found.push(`${request.what} was answered with ${status}`)
    } else if (request.kind === 'valid' && (status === 400 || status === 422)) {
      const problem = problemIn(text)
      if (problem && !isBeyondSchema(request, problem))
        found.push(`a request that fits the document was refused with ${status}`)
    }
    return found
  }

const contractFaults = (
  contract: Contract,
  { method, path, body, right }: FuzzRequest,
  { status, headers, text }: FuzzAnswer,
): string[] => {
  const sent = body === undefined || typeof body === 'string' ? body : 'a form'
  try {
    contract.check({
      method,
      path: path.split('?')[0]!,
      status,
      headers,
      text,
      sent: status < 300 && right ? undefined : sent,
    })
    return []
  } catch (error) {
    return [messageOf(error).slice(0, 600)]
  }
}

const problemIn = (text: string): ProblemBody | null => {
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its members are checked where they are used
    return JSON.parse(text) as ProblemBody
  } catch {
    return null
  }
}

const isCode = (code: unknown): code is keyof typeof codes => typeof code === 'string' && code in codes

const problemFaults = ({ path, raw }: FuzzRequest, { status, headers, text }: FuzzAnswer): string[] => {
  if (!(headers.get('content-type') ?? '').startsWith('application/problem+json'))
    return [`${status} is no problem+json`]
  const problem = problemIn(text)
  if (!problem) return [`${status} has no JSON`]
  const { code, type, status: said, instance, requestId } = problem as ProblemBody & Record<string, unknown>
  if (!isCode(code)) return ['its code is unknown']
  const faults: string[] = []
  if (statusOf[codes[code][0]] !== status || said !== status)
    faults.push(`${code} was answered with ${status} and says ${String(said)}`)
  if (type !== `/problems/${code}`) faults.push(`${code} has the type ${String(type)}`)
  if (requestId !== headers.get('x-request-id')) faults.push(`${code} has another requestId than its header`)
  if (raw === undefined && instance !== path.split('?')[0])
    faults.push(`${code} has the instance ${String(instance)}`)
  if (status === 405 && !headers.has('allow')) faults.push('405 without Allow')
  if (status === 401 && !headers.has('www-authenticate')) faults.push('401 without WWW-Authenticate')
  if ((status === 429 || status === 503) && !headers.has('retry-after'))
    faults.push(`${status} without Retry-After`)
  return faults
}
