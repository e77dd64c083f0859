// What is in all inboxes after random writes equals what an oracle computes from the log, although workers are killed
// and Redis is emptied meanwhile.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { openRedis } from '../../src/redis/connection.ts'
import { createLog } from '../../src/log.ts'
import type { LogEntry } from '../../src/model/event.ts'
import { inboxFromLog } from '../oracle/inbox.ts'
import { createRandom, type Random } from '../oracle/random.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { announced, inboxes, readyPort, spawnWorker, withWorkers } from './rig.ts'

let world: World
let people: Person[]

beforeAll(async () => {
  world = await startWorld()
  await withWorkers(1, { ...world, overdueIntervalMs: 60_000 }, async () => {}) // installs the consumers
  people = []
  for (let n = 0; n < 4; n += 1) people.push(await world.register(`Person ${n}`))
}, 60_000)

afterAll(() => world[Symbol.asyncDispose]())

/** Under one key until it is answered, as a client does it. All that is asked for here is allowed. */
const ask = async (person: Person, method: string, path: string, body: object): Promise<any> => {
  const headers = { 'Idempotency-Key': crypto.randomUUID() }
  const { status, body: answer } = await eventually(
    async () => {
      const response = await world.call(method, path, { token: person.token, body, headers })
      const isUnanswered = response.status === 503 || response.body?.code === 'idempotency_in_flight'
      if (isUnanswered) throw new Error(`${method} ${path} answers ${response.status}`)
      return response
    },
    { timeoutMs: 20_000, everyMs: 100 },
  )
  if (status >= 300) throw new Error(`${method} ${path} answers ${status}: ${JSON.stringify(answer)}`)
  return answer
}

interface Project {
  id: string
  /** Tasks whose people stay the same. */
  tasks: string[]
  reassigned: string[]
  comments: [Person, string][]
}

const newProject = async (owner: Person): Promise<Project> => {
  const { id } = await ask(owner, 'POST', '/api/projects', { name: 'Oracle' })
  for (const other of people)
    if (other !== owner)
      await ask(owner, 'POST', `/api/projects/${id}/members`, { email: other.email, role: 'editor' })
  return { id, tasks: [], reassigned: [], comments: [] }
}

/** At least one notification of each kind, which random writes lack now and then. */
const oneOfEach = async ({ id: projectId }: Project): Promise<void> => {
  const [ada, bob, eve] = people as [Person, Person, Person]
  const fields = { projectId, title: 'Oracle', assigneeId: bob.id }
  const { id } = await ask(ada, 'POST', '/api/tasks', fields)
  await ask(eve, 'POST', `/api/tasks/${id}/comments`, { body: 'Certain', mentions: [bob.id] })
  await ask(bob, 'PATCH', `/api/tasks/${id}`, { status: 'done' })
}

/** The people write to a project at random: tasks, assignments, completions, comments and mentions. */
const traffic = async (random: Random, project: Project, steps: number): Promise<void> => {
  const person = () => random.pick(people)
  const some = () => people.filter(() => random.next() < 0.3).map(({ id }) => id)
  const kinds: ((at: Project) => Promise<unknown>)[] = [
    async ({ id: projectId, tasks }) => {
      const assigneeId = random.next() < 0.7 ? person().id : null
      tasks.push((await ask(person(), 'POST', '/api/tasks', { projectId, title: 'Oracle', assigneeId })).id)
    },
    async ({ id: projectId, reassigned }) => {
      reassigned.push((await ask(person(), 'POST', '/api/tasks', { projectId, title: 'Passed on' })).id)
    },
    async ({ reassigned }) => {
      if (reassigned.length === 0) return
      await ask(person(), 'PATCH', `/api/tasks/${random.pick(reassigned)}`, { assigneeId: person().id })
    },
    async ({ tasks }) => {
      if (tasks.length === 0) return
      const status = random.pick(['todo', 'done'])
      await ask(person(), 'PATCH', `/api/tasks/${random.pick(tasks)}`, { status })
    },
    ...Array.from({ length: 3 }, () => async ({ tasks, comments }: Project) => {
      if (tasks.length === 0) return
      const author = person()
      const body = { body: 'Random', mentions: some() }
      const made = await ask(author, 'POST', `/api/tasks/${random.pick(tasks)}/comments`, body)
      comments.push([author, made.id])
    }),
    async ({ comments }) => {
      if (comments.length === 0) return
      const [author, id] = random.pick(comments)
      await ask(author, 'PATCH', `/api/comments/${id}`, { mentions: some() })
    },
  ]
  for (let step = 0; step < steps; step += 1) await random.pick(kinds)(project)
}

/** Lines that are in one list only, which may hold a line several times. */
const differences = (expected: readonly string[], found: readonly string[]) => {
  const only = (these: readonly string[], those: readonly string[]): string[] => {
    const left = [...those]
    return these.filter((line) => {
      const at = left.indexOf(line)
      if (at >= 0) left.splice(at, 1)
      return at < 0
    })
  }
  return { missing: only(expected, found), surplus: only(found, expected) }
}

test('inboxes equal what the oracle computes from the log, over killed workers and an emptied Redis', async () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  console.log({ seed })
  const random = createRandom(seed)
  await using redis = openRedis(world.redisUrl, 'request', createLog('test', 'silent'))
  const quiet = { kinds: { commented: { inApp: false }, completed: { inApp: false } } }
  await world.ask(people[3]!, 'PATCH', '/api/notifications/preferences', quiet)
  const settings = { databaseUrl: world.databaseUrl, redisUrl: world.redisUrl, overdueIntervalMs: 60_000 }
  const state = { isOver: false }
  const write = async (): Promise<void> => {
    const projects = [await newProject(people[0]!), await newProject(people[1]!)]
    // Each has random numbers of its own, so that the seed decides its writes whatever the other does meanwhile.
    await Promise.all(
      projects.map(async (project, n) => {
        await oneOfEach(project)
        await traffic(createRandom(seed + n + 1), project, 60)
      }),
    )
  }
  const writing = write().finally(() => {
    state.isOver = true
  })
  writing.catch(() => {}) // rejects where it is awaited
  const steady = spawnWorker(settings)
  await readyPort(steady)
  while (!state.isOver) {
    const child = spawnWorker(settings)
    await readyPort(child)
    const before = await world.entryCount()
    const target = before + random.between(5, 40)
    await eventually(async () => expect(state.isOver || (await world.entryCount()) >= target).toBe(true), {
      timeoutMs: 60_000,
      everyMs: 20,
    })
    child.kill('SIGKILL')
    await Promise.all([child.exited, redis.client.flushall().catch(() => {})])
  }
  await writing
  steady.kill('SIGKILL')
  await steady.exited
  await withWorkers(2, settings, () =>
    eventually(
      async () => {
        const late = await world.server.deps.db.read(
          (sql) => sql`select from feed_head h join consumer_cursor c using (shard) where c.seq < h.seq`,
        )
        expect(late.length).toBe(0)
      },
      { timeoutMs: 60_000, everyMs: 50 },
    ),
  )
  const log = await world.server.deps.db.read(
    (sql) => sql<LogEntry[]>`
      select shard, seq, at, scope, type, entity_id as "entityId", version, actor_id as "actorId", op, control, changes,
        quiet, frame
      from feed order by shard, seq`,
  )
  const expected = inboxFromLog(log)
  const kinds = new Set(expected.map((line) => line.split(' ')[0]!))
  expect(kinds).toEqual(new Set(['assigned', 'commented', 'completed', 'mentioned', 'project_invited']))
  const none = { seed, missing: [], surplus: [] }
  expect({ seed, ...differences(expected, await inboxes(world)) }).toEqual(none)
  expect({ seed, ...differences(expected, await announced(world)) }).toEqual(none)
}, 240_000)
