// What a request asks of PostgreSQL and Redis under load, counted at their protocols: no clock can fail it, and a change
// that adds a statement to every request does. The bounds are what the code needs today; they only ever go down.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { RedisClient } from 'bun'
import { openServer, type RunningServer } from '../../src/app/compose.ts'
import { readConfig } from '../../src/config.ts'
import { createLog } from '../../src/log.ts'
import { testDatabase, testRedis } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { meterPostgres, type PostgresMeter } from '../support/postgres-meter.ts'

const stack = new AsyncDisposableStack()
let server: RunningServer
let meter: PostgresMeter
let redis: RedisClient
let users: { token: string; projectId: string; taskIds: string[] }[]

const userCount = 10
const tasksEach = 4
const requests = 400

const call = async (method: string, path: string, token: string | null, body?: unknown): Promise<any> => {
  const response = await fetch(server.url + path, {
    method,
    headers: {
      ...(token !== null && { Authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  expect(response.status).toBeLessThan(300)
  return response.json()
}

beforeAll(async () => {
  const database = stack.use(await testDatabase())
  const ownRedis = stack.use(await testRedis())
  meter = stack.use(await meterPostgres(database.url, 'tasktide server'))
  redis = new RedisClient(ownRedis.url)
  stack.defer(() => redis.close())
  const config = readConfig({
    DATABASE_URL: meter.url,
    REDIS_URL: ownRedis.url,
    JWT_SECRETS: 'k1:0123456789abcdef0123456789abcdef-test',
    RATE_LIMIT_REGISTRATIONS: '1000',
    RATE_LIMIT_REQUESTS: '1000000',
    PORT: '0',
    LOG_LEVEL: 'silent',
  })
  server = stack.use(await openServer(config, createLog('test', config.logLevel)))
  users = []
  for (let index = 0; index < userCount; index += 1) {
    const password = 'correct horse battery'
    const body = { name: `Person ${index}`, email: `cost-${index}@example.com`, password }
    const { accessToken: token } = await call('POST', '/api/auth/register', null, body)
    const { id: projectId } = await call('POST', '/api/projects', token, { name: 'Cost' })
    const taskIds: string[] = []
    for (let task = 0; task < tasksEach; task += 1)
      taskIds.push((await call('POST', '/api/tasks', token, { projectId, title: `Task ${task}` })).id)
    users.push({ token, projectId, taskIds })
  }
}, 30_000)

afterAll(() => stack.disposeAsync(), 20_000)

/** Commands that the process sends by itself, whether or not a request comes. */
const ownCommands =
  /^(?:ping|xread|info|hello|client|auth|select|subscribe|zadd|zcard|zcount|zrem\w*|expire|script|time|config|command)/

/** Calls of each Redis command so far, also those that scripts make. */
const redisCalls = async (): Promise<Record<string, number>> => {
  const text = String(await redis.send('INFO', ['commandstats']))
  const lines = [...text.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)]
  return Object.fromEntries(
    lines.filter(([, name]) => !ownCommands.test(name!)).map(([, name, calls]) => [name!, Number(calls)]),
  )
}

interface Cost {
  statements: number
  roundTrips: number
  commits: number
  redisCommands: number
}

/**
 * Sends the requests in bursts, so that what the server does together does not depend on how fast answers come, and
 * returns what each cost on average, with what it consisted of.
 */
const costOf = async (
  request: (user: (typeof users)[number], index: number) => Promise<unknown>,
  { burst = 32 } = {},
): Promise<Cost & { details: object }> => {
  const sendBurst = async (first: number): Promise<void> => {
    const indexes = Array.from({ length: Math.min(burst, requests - first) }, (_, index) => first + index)
    await Promise.all(indexes.map((index) => request(users[index % users.length]!, index)))
  }
  await sendBurst(0) // prepares statements and scripts
  await settled()
  meter.take()
  const before = await redisCalls()
  for (let first = 0; first < requests; first += burst) await sendBurst(first)
  await settled()
  const postgres = meter.take()
  const after = await redisCalls()
  const redisCommands = Object.fromEntries(
    Object.entries(after)
      .map(([name, calls]) => [name, calls - (before[name] ?? 0)] as const)
      .filter(([, calls]) => calls > 0),
  )
  const each = (total: number): number => total / requests
  return {
    statements: each(postgres.statements),
    roundTrips: each(postgres.roundTrips),
    commits: each(postgres.commits),
    redisCommands: each(Object.values(redisCommands).reduce((sum, calls) => sum + calls, 0)),
    details: { ...postgres.commands, ...redisCommands },
  }
}

/** What follows an answer, such as the push of entries, is over: the counts no longer change. */
const settled = async (): Promise<void> => {
  let last = ''
  await eventually(async () => {
    const now = JSON.stringify(await redisCalls())
    const isSame = now === last
    last = now
    expect(isSame).toBe(true)
  })
}

/** Titles that differ, so that every change is one. */
let changes = 0

/*
 * Alone a create is five round trips: BEGIN, the lock of the project with the placement, the insert, the append, COMMIT.
 * Writes that arrive while others are in flight share a transaction, and reads of one turn of the event loop a statement:
 * a burst of 32 takes two commits (0.07 a write) and two or three reads (0.06 a read). How they fall into batches depends
 * on the machine, so the bounds leave room for a burst in 16 batches, and none for a transaction or statement of each
 * request. On Redis one script counts the bytes of a user (INCRBY, PTTL) and one pushes entries (XREVRANGE, XADD), at most
 * six commands where nothing is pushed or counted together. The hundredths are for what is due once a minute.
 */
const write = { statements: 2, roundTrips: 2, commits: 0.5, redisCommands: 6.1 }
const read = { statements: 0.5, roundTrips: 0.5, commits: 0, redisCommands: 0.1 }

const rows: [string, Parameters<typeof costOf>[0], Cost][] = [
  [
    'POST /api/tasks',
    ({ token, projectId }) => call('POST', '/api/tasks', token, { projectId, title: 'Counted' }),
    write,
  ],
  [
    'PATCH /api/tasks/:id',
    ({ token, taskIds }, index) =>
      call('PATCH', `/api/tasks/${taskIds[index % tasksEach]}`, token, { title: `Title ${(changes += 1)}` }),
    write,
  ],
  [
    'POST /api/tasks/:id/comments',
    ({ token, taskIds }, index) =>
      call('POST', `/api/tasks/${taskIds[index % tasksEach]}/comments`, token, { body: 'Counted' }),
    write,
  ],
  [
    'GET /api/tasks/:id',
    ({ token, taskIds }, index) => call('GET', `/api/tasks/${taskIds[index % tasksEach]}`, token),
    read,
  ],
  ['GET /api/tasks', ({ token, projectId }) => call('GET', `/api/tasks?projectId=${projectId}`, token), read],
]

for (const [route, request, bound] of rows)
  test(`${route} under load costs at most ${JSON.stringify(bound)}`, async () => {
    const { details, ...cost } = await costOf(request)
    const beyond = Object.entries(bound).filter(([name, most]) => cost[name as keyof Cost] > most)
    expect({ beyond, cost, details }).toEqual({ beyond: [], cost, details })
  }, 30_000)

test('the meter sees every statement of a request', async () => {
  const readProjects = ({ token }: (typeof users)[number]) => call('GET', '/api/projects', token)
  const { statements, roundTrips } = await costOf(readProjects, { burst: 1 })
  expect(statements).toBeGreaterThanOrEqual(1)
  expect(roundTrips).toBeGreaterThanOrEqual(1)
}, 30_000)
