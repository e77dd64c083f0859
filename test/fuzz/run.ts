// A run: people who use the API, and requests drawn from the document of the server, a few at a time. What a request is
// depends on the seed, its number and what answers have shown before; a violation prints the whole request.
import { Ajv2020 } from 'ajv/dist/2020'
import { createContract, formats } from '../support/contract.ts'
import { broken } from './breaks.ts'
import { createDraws, type Draws } from './draws.ts'
import { readApi, type Document, type Json, type Operation } from './document.ts'
import { afterDeletion, anonymous, garbage } from './garbage.ts'
import { kindOfParameter } from './hints.ts'
import { learn, register, signIn, type Kind, type Person } from './people.ts'
import { draft, finished, type Draft, type FuzzRequest, type RequestKind } from './request.ts'
import { send, type FuzzAnswer } from './send.ts'
import { createVerdict } from './verdict.ts'

export interface FuzzOptions {
  url: string
  seed: number
  requests: number
  /** Makes a person an administrator: no request can. */
  promote: (userId: string) => Promise<void>
  /** Requests at a time. */
  concurrency?: number
  /** Of the operations, by name. */
  only?: RegExp
  /** The share of each kind of request. */
  shares?: Partial<Record<RequestKind, number>>
  report?: (line: string) => void
}

export interface FuzzViolation {
  number: number
  faults: string[]
  request: string
  answer: string
}

export interface FuzzResult {
  seed: number
  requests: number
  seconds: number
  /** By operation and status; what has no operation is `other`. */
  counts: Map<string, Map<number, number>>
  kinds: Map<RequestKind, number>
  /** 503 with Retry-After. */
  overloaded: number
  slowestMs: number
  violations: FuzzViolation[]
  /** Idempotency-Keys of requests that were to be refused. */
  refusedKeys: string
}

const usualShares: Record<RequestKind, number> = {
  valid: 0.5,
  violation: 0.3,
  garbage: 0.12,
  anonymous: 0.04,
  deleted: 0.04,
}

/** Requests that end what their caller needs; a new person sends them. */
const isLast = (name: string): boolean =>
  /^(?:DELETE \/api\/users\/me|PUT \/api\/users\/me\/password|POST \/api\/auth\/(?:logout|logout-all|refresh))$/.test(
    name,
  )

/** Requests that an administrator sends about others. */
const isAdministration = (name: string): boolean =>
  /\/api\/(?:users|users\/\{id\}|invitations(?:\/\{id\})?)$/.test(name)

/** A password is hashed, or an account made: 20 ms of a core each. */
const isCostly = (name: string): boolean =>
  /register|login|password|POST \/api\/users$|DELETE \/api\/users/.test(name) || isLast(name)

const renewEveryMs = 10 * 60_000
const maxViolations = 50

export const fuzz = async (options: FuzzOptions): Promise<FuzzResult> => {
  const { url, seed, requests, concurrency = 6, only, report = () => {} } = options
  const startedAt = performance.now()
  const document = (await (await fetch(`${url}/api/openapi.json`)).json()) as Document
  const api = readApi(document)
  const verdict = createVerdict(createContract(document as never))
  const fits = createFits(document)
  const operations = api.operations.filter(({ name }) => !only || only.test(name))
  const people = await gather(options)
  const deleted: { kind: Kind; id: string; by: Person }[] = []
  const counts: FuzzResult['counts'] = new Map()
  const kinds: FuzzResult['kinds'] = new Map()
  const violations: FuzzViolation[] = []
  const refusedKeys = `refused-${Bun.randomUUIDv7()}-` // other runs may share the database
  let overloaded = 0
  let slowestMs = 0
  let renewedAt = performance.now()

  const kindFor = (draws: Draws): RequestKind => {
    const shares = { ...usualShares, ...options.shares }
    let left = draws.next() * Object.values(shares).reduce((sum, share) => sum + share, 0)
    for (const [kind, share] of Object.entries(shares)) {
      left -= share
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of the shares
      if (left < 0) return kind as RequestKind
    }
    return 'valid'
  }

  const operationFor = (draws: Draws): Operation => {
    const operation = draws.pick(operations)
    return isCostly(operation.name) && draws.chance(0.8) ? draws.pick(operations) : operation
  }

  const callerFor = async (
    draws: Draws,
    { name, isGuarded }: Operation,
    kind: RequestKind,
  ): Promise<Person> => {
    if (isLast(name) && kind !== 'violation') return register(url, 'Fuzz last')
    if (isAdministration(name) && isGuarded && draws.chance(0.7)) return people.admin
    return draws.pick(people.everyone)
  }

  const build = async (number: number): Promise<FuzzRequest> => {
    const draws = createDraws(seed + number * 7_919)
    const kind = kindFor(draws)
    const operation = operationFor(draws)
    const caller = await callerFor(draws, operation, kind)
    const isToRefuse = kind === 'violation'
    const key = isToRefuse ? refusedKeys + number : `fuzz-${seed}-${number}`
    const drafted = draft({ draws, api, everyone: people.everyone, key }, operation, caller)
    if (isAdministration(operation.name) && operation.method !== 'GET' && operation.method !== 'POST')
      await aimAtStranger(drafted)
    if (operation.takesPersonalTokens && caller.personalToken !== null && draws.chance(0.1))
      drafted.headers['Authorization'] = `Bearer ${caller.personalToken}`
    switch (kind) {
      case 'violation':
        return broken({ draws, api, fits }, drafted)
      case 'garbage':
        return garbage(draws, drafted, api.methods.get(operation.template)!)
      case 'anonymous':
        return operation.isGuarded ? anonymous(draws, drafted) : finished(drafted, 'valid', '', null)
      case 'deleted':
        return deletedRequest(draws, drafted) ?? finished(drafted, 'valid', '', null)
      default:
        return finished(drafted, 'valid', '', null)
    }
  }

  /** Administrators change and delete accounts that no other part of the run uses. */
  const aimAtStranger = async (drafted: Draft): Promise<void> => {
    if (!drafted.operation.template.startsWith('/api/users/{id}')) return
    const { id } = await register(url, 'Fuzz stranger')
    drafted.path = `/api/users/${id}`
  }

  const deletedRequest = (draws: Draws, drafted: Draft): FuzzRequest | null => {
    if (deleted.length === 0) return null
    const { kind, id, by } = draws.pick(deleted)
    const possible = operations.filter(
      (operation) =>
        operation.isGuarded &&
        !operation.body &&
        operation.parameters.filter((parameter) => parameter.in === 'path').length === 1 &&
        kindOfParameter(operation, 'id') === kind &&
        !operation.template.startsWith('/api/users/'),
    )
    if (possible.length === 0) return null
    const operation = draws.pick(possible)
    const own = { ...drafted, caller: by, json: undefined, file: null, mediaType: null, headers: {} }
    return afterDeletion(own, operation, operation.template.replace('{id}', id))
  }

  const observe = (
    { operation, method, path, caller, body }: FuzzRequest,
    { status, headers, text }: FuzzAnswer,
  ): void => {
    if (!operation || !caller || status >= 300) return
    const isJson = headers.get('content-type')?.includes('json') ?? false
    const tag = headers.get('etag')
    if (tag !== null) caller.things.add('etag', tag)
    if (isJson && operation.template.startsWith('/api/') && text.length < 200_000)
      observeJson(caller, operation, path, JSON.parse(text))
    if (method === 'DELETE' && status === 204) observeDeletion(caller, operation, path)
    if (operation.name === 'PUT /api/users/me/password' && typeof body === 'string')
      caller.password = String(JSON.parse(body).password)
  }

  const observeJson = (caller: Person, { name }: Operation, path: string, value: any): void => {
    learn(caller, value)
    if (name === 'PATCH /api/users/me') caller.email = String(value.email)
    if (name === 'POST /api/auth/tokens' && value.scopes.includes('write'))
      caller.personalToken = String(value.token)
    if (typeof value.nextCursor === 'string') {
      const next = new URL(path, url)
      next.searchParams.set('cursor', value.nextCursor)
      next.searchParams.delete('page')
      caller.nextPages.push(next.pathname + next.search)
      if (caller.nextPages.length > 20) caller.nextPages.shift()
    }
  }

  const observeDeletion = (caller: Person, operation: Operation, path: string): void => {
    const parameters = operation.parameters.filter((parameter) => parameter.in === 'path')
    const kind = parameters.length === 1 ? kindOfParameter(operation, 'id') : null
    if (!kind || kind === 'user') return
    const id = path.split('?')[0]!.split('/').at(-1)!
    for (const person of people.everyone) person.things.remove(kind, id.toLowerCase())
    if (kind === 'token')
      for (const person of people.everyone) if (person.id === caller.id) person.personalToken = null
    deleted.push({ kind, id, by: caller })
    if (deleted.length > 200) deleted.shift()
  }

  /** A page after one that was read, which a cursor of the server opens. */
  const followUp = (draws: Draws): FuzzRequest | null => {
    const caller = draws.pick(people.everyone)
    if (caller.nextPages.length === 0) return null
    const path = draws.pick(caller.nextPages)
    const operation = operations.find(
      ({ method, template }) =>
        method === 'GET' &&
        new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path.split('?')[0]!),
    )
    if (!operation) return null
    const headers = { Authorization: `Bearer ${caller.token}` }
    return {
      kind: 'valid',
      what: 'the next page',
      operation,
      method: 'GET',
      path,
      headers,
      body: undefined,
      caller,
      right: (status) => status === 200 || status === 404,
    }
  }

  const one = async (number: number): Promise<void> => {
    const draws = createDraws(seed ^ (number * 104_729))
    const request = (draws.chance(0.02) ? followUp(draws) : null) ?? (await build(number))
    const answer = await send(url, request).catch((error: unknown) => ({
      status: -1,
      headers: new Headers(),
      text: String(error),
      durationMs: 0,
    }))
    const isUnanswered = answer.status === -1
    // Bytes that are no HTTP may be answered by closing the connection.
    const faults = isUnanswered
      ? request.raw === undefined
        ? [`was not answered: ${answer.text}`]
        : []
      : verdict(request, answer)
    const name = request.operation?.name ?? 'other'
    const statuses = counts.get(name) ?? new Map<number, number>()
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
    counts.set(name, statuses)
    kinds.set(request.kind, (kinds.get(request.kind) ?? 0) + 1)
    if (answer.status === 503) overloaded += 1
    slowestMs = Math.max(slowestMs, answer.durationMs)
    if (faults.length > 0 && violations.length < maxViolations)
      violations.push({
        number,
        faults,
        request: shown(request),
        answer: `${answer.status} ${answer.text.slice(0, 400)}`,
      })
    if (!isUnanswered) observe(request, answer)
  }

  let next = 0
  const work = async (): Promise<void> => {
    for (;;) {
      const number = next
      if (number >= requests || violations.length >= maxViolations) return
      next += 1
      if (number > 0 && number % 5_000 === 0) report(`${number} requests, ${violations.length} violations`)
      // oxlint-disable-next-line eslint/no-await-in-loop -- one request at a time of each worker
      await one(number)
      if (performance.now() - renewedAt > renewEveryMs) {
        renewedAt = performance.now()
        // oxlint-disable-next-line eslint/no-await-in-loop
        await Promise.all(people.everyone.map((person) => signIn(url, person)))
      }
    }
  }
  await Promise.all(Array.from({ length: concurrency }, work))
  const sum = [...kinds.values()].reduce((total, count) => total + count, 0)
  return {
    seed,
    requests: sum,
    seconds: (performance.now() - startedAt) / 1_000,
    counts,
    kinds,
    overloaded,
    slowestMs,
    violations,
    refusedKeys,
  }
}

interface People {
  everyone: Person[]
  admin: Person
}

/** Six people, an administrator among them, who share a project and tasks. */
const gather = async ({ url, promote }: FuzzOptions): Promise<People> => {
  const everyone = await Promise.all(
    Array.from({ length: 6 }, (_, index) => register(url, `Fuzz ${index + 1}`)),
  )
  const admin = everyone[0]!
  await promote(admin.id)
  await signIn(url, admin)
  const owner = everyone[1]!
  const ask = async (person: Person, method: string, path: string, body?: object): Promise<any> => {
    const response = await fetch(url + path, {
      method,
      headers: {
        Authorization: `Bearer ${person.token}`,
        ...(body && { 'Content-Type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    const value = await response.json()
    if (!response.ok)
      throw new Error(`${method} ${path} answered ${response.status}: ${JSON.stringify(value)}`)
    learn(person, value)
    return value
  }
  for (const person of everyone) {
    // oxlint-disable-next-line eslint/no-await-in-loop -- six people
    await ask(person, 'GET', '/api/users/me/snapshot')
  }
  const project = await ask(owner, 'POST', '/api/projects', { name: 'Fuzz' })
  for (const [index, role] of (['editor', 'viewer', 'owner'] as const).entries()) {
    const person = everyone[index + 2]!
    // oxlint-disable-next-line eslint/no-await-in-loop
    await ask(owner, 'POST', `/api/projects/${project.id}/members`, { email: person.email, role })
    // oxlint-disable-next-line eslint/no-await-in-loop
    await ask(person, 'GET', `/api/projects/${project.id}/snapshot`)
  }
  for (const person of [owner, everyone[2]!])
    for (const title of ['Fuzz 1', 'Fuzz 2']) {
      // oxlint-disable-next-line eslint/no-await-in-loop
      await ask(person, 'POST', '/api/tasks', { title, projectId: project.id, tags: ['fuzz'] })
    }
  return { everyone, admin }
}

/** Whether a body fits its schema, by ajv. */
const createFits = (document: Document) => {
  const ajv = new Ajv2020({ strict: false, formats })
  ajv.addSchema(document, 'document')
  return ({ operation, mediaType }: Draft, json: Json): boolean => {
    const place = [
      'paths',
      operation.template,
      operation.method.toLowerCase(),
      'requestBody',
      'content',
      mediaType!,
      'schema',
    ]
    const pointer = place
      .map((key) => encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1')))
      .join('/')
    return ajv.getSchema(`document#/${pointer}`)!(json) === true
  }
}

const shown = ({ kind, what, method, path, headers, body, raw }: FuzzRequest): string => {
  const { Authorization, ...rest } = headers
  const text =
    body === undefined
      ? ''
      : typeof body === 'string'
        ? body
        : body instanceof FormData
          ? '(form)'
          : new TextDecoder().decode(body)
  return (
    raw ??
    `${kind}${what && ` (${what})`} ${method} ${path.slice(0, 500)} ${Authorization === undefined ? 'without credentials ' : ''}${JSON.stringify(rest).slice(0, 300)} ${text.slice(0, 600)}`
  )
}
