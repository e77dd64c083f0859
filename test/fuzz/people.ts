// Who sends the requests and what is known of their things: ids learned from answers, by kind, the newest last.
import type { SessionAnswer } from '../../src/model/user.ts'
import { testPassword } from '../support/world.ts'

export const kinds = [
  'project',
  'task',
  'comment',
  'attachment',
  'user',
  'session',
  'token',
  'notification',
  'invitation',
  'email',
  'tag',
  'etag',
] as const
export type Kind = (typeof kinds)[number]

const maxKept = 60

/** Ids of things, bounded. */
export class Things {
  readonly #known = new Map<Kind, string[]>()

  add(kind: Kind, id: string): void {
    const known = this.#known.get(kind) ?? []
    if (known.includes(id)) return
    known.push(id)
    if (known.length > maxKept) known.shift()
    this.#known.set(kind, known)
  }

  remove(kind: Kind, id: string): void {
    const known = this.#known.get(kind)
    const index = known?.indexOf(id) ?? -1
    if (index >= 0) known!.splice(index, 1)
  }

  of(kind: Kind): readonly string[] {
    return this.#known.get(kind) ?? []
  }
}

export interface Person {
  id: string
  email: string
  password: string
  token: string
  refreshToken: string
  isAdmin: boolean
  /** A personal access token that may write. */
  personalToken: string | null
  /** What answers to this person have shown. */
  things: Things
  /** Paths of next pages, with their cursors. */
  nextPages: string[]
  /** Scopes with a cursor to follow them from. */
  positions: Map<string, string>
}

let numbers = 0

/** A new account with a session. */
export const register = async (url: string, name: string): Promise<Person> => {
  const email = `fuzz-${(numbers += 1)}-${Bun.randomUUIDv7()}@example.com`
  return personOf(
    await post<SessionAnswer>(url, '/api/auth/register', { email, name, password: testPassword }),
  )
}

const maxTries = 20

/** The answer of a request of the run itself, repeated while the server is overloaded. */
const post = async <T>(url: string, path: string, body: object): Promise<T> => {
  for (let tries = 1; ; tries += 1) {
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the caller names the shape
    if (response.ok) return (await response.json()) as T
    const text = await response.text()
    if (response.status !== 503 || tries === maxTries)
      throw new Error(`${path} answered ${response.status}: ${text}`)
    await Bun.sleep(Number(response.headers.get('retry-after')) * 1_000)
  }
}

const personOf = ({ user, accessToken, refreshToken }: SessionAnswer): Person => ({
  id: user.id,
  email: user.email,
  password: testPassword,
  token: accessToken,
  refreshToken,
  isAdmin: user.role === 'admin',
  personalToken: null,
  things: new Things(),
  nextPages: [],
  positions: new Map(),
})

/** A new session of the person: access tokens last 15 minutes, a long run longer. */
export const signIn = async (url: string, person: Person): Promise<void> => {
  const { email, password } = person
  const answer = await post<SessionAnswer>(url, '/api/auth/login', { email, password })
  person.token = answer.accessToken
  person.refreshToken = answer.refreshToken
  person.isAdmin = answer.user.role === 'admin'
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** What kind of thing an object of an answer is, by the members that only this kind has. */
const kindOf = (shape: Record<string, unknown>): Kind | null => {
  const has = (...names: string[]): boolean => names.every((name) => name in shape)
  if (has('projectId', 'title', 'rank')) return 'task'
  if (has('memberCount', 'kind')) return 'project'
  if (has('author', 'body')) return 'comment'
  if (has('sha256', 'filename')) return 'attachment'
  if (has('readAt', 'kind')) return 'notification'
  if (has('scopes', 'lastUsedAt')) return 'token'
  if (has('userAgent', 'current')) return 'session'
  if (has('acceptedAt', 'expiresAt')) return 'invitation'
  if (has('avatarUrl', 'name')) return 'user'
  return null
}

/** Remembers what an answer to the person shows. */
export const learn = (person: Person, value: unknown): void => {
  if (Array.isArray(value)) {
    for (const item of value) learn(person, item)
    return
  }
  if (!isRecord(value)) return
  const { id, tags } = value
  const kind = kindOf(value)
  // The session of a person in use stays: ending it would end the run.
  if (kind && typeof id === 'string' && !(kind === 'session' && value['current'] === true))
    person.things.add(kind, id)
  if (Array.isArray(tags)) for (const tag of tags) if (typeof tag === 'string') person.things.add('tag', tag)
  if (typeof value['cursor'] === 'string' && isRecord(value['project']))
    person.positions.set(`project:${String(value['project']['id'])}`, value['cursor'])
  if (typeof value['cursor'] === 'string' && 'sharedTasks' in value)
    person.positions.set('user:me', value['cursor'])
  for (const inner of Object.values(value)) if (typeof inner === 'object') learn(person, inner)
}
