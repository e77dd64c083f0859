// Records what the clients of this process send and receive. Bounded: beyond `maxEvents` it counts what it drops, and the
// check of such a history fails. Contents are kept once, however often they are seen.
import {
  canonical,
  positionOf,
  type Call,
  type Final,
  type Frame,
  type History,
  type HistoryEvent,
  type SeenTask,
  type Step,
} from './history.ts'

/** One request as its client knows it. */
export interface Exchange {
  method: string
  /** Path and query. */
  path: string
  token: string | null
  key: string | undefined
  ifMatch: number | null
  attempts: number
  start: number
  end: number
  /** Null without an answer. */
  answer: { status: number; body: any; headers: Headers } | null
}

const maxEventsByDefault = 2_000_000

export class Recorder {
  readonly #events: HistoryEvent[] = []
  readonly #contents = new Map<string, string>()
  readonly #projects = new Set<string>()
  #dropped = 0
  #calls = 0

  constructor(private readonly maxEvents = maxEventsByDefault) {}

  /** Projects whose tasks were seen. */
  get projects(): ReadonlySet<string> {
    return this.#projects
  }

  /** Answered and unanswered calls so far. */
  get calls(): number {
    return this.#calls
  }

  call({ method, path, token, key, ifMatch, attempts, start, end, answer }: Exchange): void {
    if (token === null) return // registering and signing in touch nothing that is checked
    this.#calls += 1
    const [target = '', query = ''] = path.split('?')
    const { reads, subject } = kindOf(method, target, new URLSearchParams(query))
    const status = answer?.status ?? 0
    const isOk = status >= 200 && status < 300
    const body = answer?.body
    if (reads === 'list' || reads === 'snapshot') if (subject !== null) this.#projects.add(subject)
    this.#add({
      kind: 'call',
      client: subjectOf(token),
      method,
      target,
      start,
      end: answer ? end : Infinity,
      status,
      key: key ?? null,
      attempts,
      ifMatch,
      currentVersion: status === 412 ? (body?.currentVersion ?? null) : null,
      position: !isOk
        ? null
        : reads === 'snapshot'
          ? positionOf(body.cursor)
          : positionOf(answer?.headers.get('tide-cursor')),
      replayed: answer?.headers.get('idempotency-replayed') === 'true',
      seen: isOk ? tasksIn(body).map((task) => this.#seen(task)) : [],
      reads,
      subject,
      isWhole: isOk && isWhole(reads, query, body),
    } satisfies Call)
  }

  /** An event frame of a live view, or an event of `/api/sync`. */
  frame(client: string, view: string, event: any): void {
    const isTask = String(event.type).startsWith('task.') && event.data && !event.omitted
    this.#add({
      kind: 'frame',
      client,
      view,
      at: performance.now(),
      scope: event.scope,
      position: positionOf(event.cursor)!,
      type: event.type,
      entity: event.id,
      version: event.version,
      content: isTask ? this.#intern(event.data) : null,
    } satisfies Frame)
  }

  step(client: string, view: string, scope: string, what: Step['what'], cursor: string | null): void {
    const position = positionOf(cursor)
    this.#add({ kind: 'step', client, view, at: performance.now(), scope, what, position })
  }

  history(final: Final): History {
    return { events: this.#events, final, dropped: this.#dropped }
  }

  /** A content in the form in which the history has it. */
  #intern(value: object): string {
    const text = canonical(value)
    const held = this.#contents.get(text)
    if (held !== undefined) return held
    this.#contents.set(text, text)
    return text
  }

  #seen(task: any): SeenTask {
    this.#projects.add(task.projectId)
    const content = task.omitted ? null : this.#intern(task)
    return { task: task.id, version: task.version, content }
  }

  #add(event: HistoryEvent): void {
    if (this.#events.length < this.maxEvents) this.#events.push(event)
    else this.#dropped += 1
  }
}

const tokens = new Map<string, string>()

/** The user of an access token. */
export const subjectOf = (token: string): string => {
  let user = tokens.get(token)
  if (user === undefined) {
    user = String(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).sub)
    if (tokens.size > 10_000) tokens.clear()
    tokens.set(token, user)
  }
  return user
}

const id = '[0-9a-f-]{36}'
const taskPath = new RegExp(`^/api/tasks/(${id})(/.*)?$`)
const snapshotPath = new RegExp(`^/api/projects/(${id})/snapshot$`)

const kindOf = (method: string, target: string, query: URLSearchParams): Pick<Call, 'reads' | 'subject'> => {
  const [, task, rest] = taskPath.exec(target) ?? []
  if (task !== undefined)
    return { reads: method === 'GET' && rest === undefined ? 'task' : null, subject: task }
  if (method !== 'GET') return { reads: null, subject: null }
  const [, project] = snapshotPath.exec(target) ?? []
  if (project !== undefined) return { reads: 'snapshot', subject: project }
  if (target === '/api/tasks') return { reads: 'list', subject: query.get('projectId') }
  return { reads: null, subject: null }
}

/** Parameters with which a list still shows every task of its project. */
const harmless = new Set(['projectId', 'limit', 'sort'])

const isWhole = (reads: Call['reads'], query: string, body: any): boolean => {
  const parameters = [...new URLSearchParams(query).keys()]
  if (reads === 'snapshot') return body.nextAfter === null && !parameters.includes('after')
  if (reads !== 'list' || !parameters.includes('projectId')) return false
  return body.nextCursor === null && parameters.every((name) => harmless.has(name))
}

const isTask = (value: any): boolean => typeof value?.rank === 'string' && typeof value.version === 'number'

const tasksIn = (body: any): any[] => {
  const all = isTask(body) ? [body] : [...(body?.items ?? []), ...(body?.tasks ?? [])]
  return all.filter(isTask)
}
