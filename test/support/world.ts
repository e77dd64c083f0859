// A whole server in this process, on a free port, with its own database and Redis, and the people, projects and sockets
// of a scenario. Every test file owns its world and disposes it; the world closes what it opened.
import { expect } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openServer, type RunningServer } from '../../src/app/compose.ts'
import type { Config } from '../../src/config.ts'
import { readConfig } from '../../src/config.ts'
import type { Scope } from '../../src/model/scope.ts'
import { createLog } from '../../src/log.ts'
import type { LogEntry } from '../../src/model/event.ts'
import type { SessionAnswer } from '../../src/model/user.ts'
import type { SocketTimings } from '../../src/ws/protocol.ts'
import type { Project } from '../../src/model/project.ts'
import { createContract, type Contract } from './contract.ts'
import { testDatabase, testRedis } from './environment.ts'
import { createPrivacyCheck } from './privacy.ts'
import { openSocket, type TestSocket } from './socket.ts'

/** Of every world and its workers. */
export const testKeys: Config['jwtKeys'] = [{ kid: 'k1', secret: '0123456789abcdef0123456789abcdef-test' }]

export const testPassword = 'correct horse battery'

export interface Answer<T> {
  status: number
  headers: Headers
  body: T
}

export interface CallOptions {
  token?: string
  /** Sent as JSON, unless it is a string. */
  body?: unknown
  headers?: Record<string, string>
}

export interface Person {
  id: string
  email: string
  token: string
  session: SessionAnswer
  /** The Inbox. */
  inboxId: string
}

export type Members = Partial<Record<'owner' | 'editor' | 'viewer', Person | Person[]>>

export interface World extends AsyncDisposable {
  url: string
  databaseUrl: string
  redisUrl: string
  config: Config
  server: RunningServer
  /**
   * One request; the body is parsed where it is JSON. Throws where the answer differs from the OpenAPI document, or
   * reveals what it must not.
   */
  call<T = any>(method: string, path: string, options?: CallOptions): Promise<Answer<T>>
  /** A new user with a session. */
  register(name?: string): Promise<Person>
  /** The same, made an admin in the database. */
  registerAdmin(): Promise<Person>
  /** New users by name, registered at the same time. */
  people<N extends string>(...names: N[]): Promise<Record<N, Person>>
  /** The body of a request that must succeed. */
  ask<T = any>(person: Person, method: string, path: string, body?: unknown): Promise<T>
  /** A new project of `owner`, and its other members by role, added in the order of the object. */
  project(owner: Person, members?: Members, fields?: Record<string, unknown>): Promise<Project>
  /**
   * A socket of the user that has received `welcome`; `url` of another server than the world's own. Disposing it throws
   * where a frame revealed what it must not.
   */
  socket(person: Pick<Person, 'token'>, url?: string): Promise<TestSocket>
  /** The log of a scope, oldest first. */
  entries(scope: Scope): Promise<LogEntry[]>
  /** Entries of the whole log, without the announcements that a worker appends at its own pace: to show that nothing was written. */
  entryCount(): Promise<number>
  /** Another server on the same database and Redis. */
  another(config?: Partial<Config>, timings?: Partial<SocketTimings>): Promise<RunningServer>
}

const bearerOf = ({ Authorization }: Record<string, string>): string | undefined =>
  Authorization?.replace(/^Bearer /, '')

/** @param settings over the test defaults: rate limits off, no log output. */
export const startWorld = async (settings: Partial<Config> = {}): Promise<World> => {
  await using stack = new AsyncDisposableStack()
  const database = stack.use(await testDatabase())
  const redis = stack.use(await testRedis())
  const dataDir = await mkdtemp(join(tmpdir(), 'tide-data-'))
  stack.defer(() => rm(dataDir, { recursive: true, force: true }))
  const config: Config = {
    ...readConfig({
      DATABASE_URL: database.url,
      REDIS_URL: redis.url,
      JWT_SECRETS: `${testKeys[0].kid}:${testKeys[0].secret}`,
      TIDE_DATA: dataDir,
      RATE_LIMIT: 'off',
      PORT: '0',
      WORKER_PORT: '0',
      LOG_LEVEL: 'silent',
      DATABASE_POOL: '8',
    }),
    ...settings,
  }
  const log = createLog('test', config.logLevel)
  const server = stack.use(await openServer(config, log))
  let contract: Promise<Contract> | undefined
  const readContract = async (): Promise<Contract> =>
    createContract(await (await fetch(`${server.url}/api/openapi.json`)).json())
  const privacy = createPrivacyCheck(server.deps.db)
  let people = 0

  const call = async <T>(
    method: string,
    path: string,
    { token, body, headers = {} }: CallOptions = {},
  ): Promise<Answer<T>> => {
    const sent = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
    const response = await fetch(server.url + path, {
      method,
      headers: {
        ...(token !== undefined && { Authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(sent !== undefined && { body: sent }),
      redirect: 'manual',
    })
    const text = await response.text()
    const { status } = response
    const known = await (contract ??= readContract())
    known.check({ method, path, status, headers: response.headers, text, sent })
    const isText = /json|^text/.test(response.headers.get('content-type') ?? '')
    if (isText) await privacy.check({ method, path, text, sent, token: token ?? bearerOf(headers) })
    const isJson = response.headers.get('content-type')?.includes('json') ?? false
    return {
      status: response.status,
      headers: response.headers,
      body: (isJson ? JSON.parse(text) : text) as T,
    }
  }

  const register = async (name = `Person ${(people += 1)}`): Promise<Person> => {
    const email = `person-${Bun.randomUUIDv7()}@example.com`
    const { status, body } = await call<SessionAnswer>('POST', '/api/auth/register', {
      body: { name, email, password: testPassword },
    })
    if (status !== 201) throw new Error(`register answered ${status}: ${JSON.stringify(body)}`)
    const [inbox] = await server.deps.db.read(
      (sql) => sql<{ id: string }[]>`select id from projects where inbox_of = ${body.user.id}`,
    )
    return { id: body.user.id, email, token: body.accessToken, session: body, inboxId: inbox!.id }
  }

  const ask = async <T>(person: Person, method: string, path: string, body?: unknown): Promise<T> => {
    const answer = await call<T>(method, path, { token: person.token, body })
    const failure = answer.status < 300 ? null : { method, path, status: answer.status, body: answer.body }
    expect(failure).toBeNull()
    return answer.body
  }

  const registerAll = async <N extends string>(...names: N[]): Promise<Record<N, Person>> => {
    const made = await Promise.all(names.map(async (name) => [name, await register(name)] as const))
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one member for each name
    return Object.fromEntries(made) as Record<N, Person>
  }

  const project = async (
    owner: Person,
    members: Members = {},
    fields: Record<string, unknown> = {},
  ): Promise<Project> => {
    const made = await ask<Project>(owner, 'POST', '/api/projects', { name: 'Apollo', ...fields })
    for (const [role, those] of Object.entries(members)) {
      for (const { email } of [those].flat())
        await ask(owner, 'POST', `/api/projects/${made.id}/members`, { email, role })
    }
    return made
  }

  const sockets = stack.use(new AsyncDisposableStack())
  const socket = async ({ token }: Pick<Person, 'token'>, url = server.url): Promise<TestSocket> => {
    const opened = await openSocket(url, { token })
    let isDisposed = false
    const checked = sockets.use({
      ...opened,
      async [Symbol.asyncDispose]() {
        if (isDisposed) return // by its test, before the world does
        isDisposed = true
        await opened[Symbol.asyncDispose]()
        const text = JSON.stringify(opened.frames)
        await privacy.check({ method: 'GET', path: '/api/ws', sent: undefined, token, text })
      },
    })
    await opened.take('welcome')
    return checked
  }

  const world: Omit<World, keyof AsyncDisposable> = {
    url: server.url,
    databaseUrl: database.url,
    redisUrl: redis.url,
    config,
    server,
    call,
    register,
    people: registerAll,
    ask,
    project,
    socket,
    async registerAdmin() {
      const person = await register('Admin')
      await server.deps.db.transact((tx) => tx`update users set role = 'admin' where id = ${person.id}`)
      const { body } = await call<SessionAnswer>('POST', '/api/auth/login', {
        body: { email: person.email, password: testPassword },
      })
      return { ...person, token: body.accessToken, session: body }
    },
    entries: (scope) =>
      server.deps.db.read(
        (sql) => sql<LogEntry[]>`
          select shard, seq, at, scope, type, entity_id as "entityId", version, actor_id as "actorId",
            op, control, changes, quiet, frame
          from feed where scope = ${scope} order by seq`,
      ),
    async entryCount() {
      const [row] = await server.deps.db.read(
        (sql) => sql<{ count: number }[]>`
          select count(*)::int as count from feed where type <> 'stats.updated'`,
      )
      return row!.count
    },
    another: async (over = {}, timings = {}) => openServer({ ...config, ...over }, log, timings),
  }
  const owned = stack.move()
  return { ...world, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}
