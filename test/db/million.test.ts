// Every read of the API on a million tasks and as many rows of other growing tables as matter: no list, search, count,
// activity, notification or statistics query scans a large table. PostgreSQL counts its scans; the requests are made from
// the routes and their parameters, so that a new list is asked without an edit.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { fillTasks } from '../../bench/fill.ts'
import { routesOf, type Route } from '../support/routes.ts'
import { callsOf, type Calls } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

/** Enough for plans that hold for a million, which take minutes to fill: `SCAN_TASKS=1000000` asks for them. */
const tasks = Number(process.env['SCAN_TASKS'] ?? 130_000)
/** Of these a user of the requests has so many. */
const mine = 5_000
/** Rows of each other table. */
const rows = 100_000

let world: World
let me: Person
let calls: Calls
let admin: Calls
let routes: Route[]
/** What parameters of a path or query name. */
let ids: Record<'task' | 'project' | 'user', string>

const sql = <T>(run: Parameters<World['server']['deps']['db']['read']>[0]): Promise<T> =>
  world.server.deps.db.read(run, { deadlineMs: 300_000 }) as Promise<T>

beforeAll(async () => {
  world = await startWorld({ databasePool: 4 })
  me = await world.register()
  admin = callsOf(world, await world.registerAdmin())
  calls = callsOf(world, me)
  const other = await world.register()
  const own = await world.project(me)
  await fillTasks(world.databaseUrl, { userId: me.id, projectId: own.id }, mine)
  // Projects of one size: statements are planned for the usual one, and one that has most of the tasks is rightly scanned.
  for (let filled = mine; filled < tasks; filled += mine) {
    const { id } = await world.project(other)
    await fillTasks(world.databaseUrl, { userId: other.id, projectId: id }, mine)
  }
  const task = await calls.task({ projectId: own.id, tags: ['t1'] })
  ids = { task: task.id, project: own.id, user: me.id }
  // One row in ten thousand is about the user's own things, the others about those of a thousand people and projects:
  // statements are planned for what is usual.
  await world.server.deps.db.transact(
    async (tx) => {
      await tx`set local statement_timeout = 0`
      await tx`
        insert into users (id, email, name, name_key, password_hash)
        select gen_random_uuid(), 'u' || n || '@example.com', 'Person ' || n, 'person ' || n, 'none'
        from generate_series(1, ${rows}::int) n`
      await tx`create temporary table people on commit drop as select array_agg(id) as ids from (select id from users limit 1000) u`
      await tx`
        insert into notifications (id, user_id, kind, task_id, dedupe_key, read_at, created_at)
        select gen_random_uuid(), case when n % 10000 = 0 then ${me.id}::uuid else ids[1 + n % 1000] end, 'assigned',
          gen_random_uuid(), 'n' || n, case when n % 2 = 0 then now() end, now() - n * interval '1 second'
        from people cross join generate_series(1, ${rows}::int) n`
      await tx`
        insert into comments (id, task_id, author_id, body, created_at)
        select gen_random_uuid(), t.id, t.creator_id, 'Words', now()
        from (select id, creator_id from tasks order by id limit ${rows}) t`
      await tx`
        insert into activity (id, type, actor_id, project_id, task_id, entity_id, created_at)
        select gen_random_uuid(), 'task.updated', case when n % 10000 = 0 then ${me.id}::uuid else ids[1 + n % 1000] end,
          case when n % 10000 = 0 then ${own.id}::uuid else ids[1 + n % 997] end,
          case when n % 10000 = 0 then ${task.id}::uuid else gen_random_uuid() end,
          gen_random_uuid(), now() - n * interval '1 second'
        from people cross join generate_series(1, ${rows}::int) n`
    },
    { deadlineMs: 300_000 },
  )
  await sql((db) => db`set statement_timeout = 0`)
  for (const table of ['tasks', 'notifications', 'comments', 'activity', 'users'])
    await sql((db) => db`analyze ${db(table)}`)
  routes = (await routesOf(world)).filter(
    ({ method, isGuarded, template }) => method === 'GET' && isGuarded && template.startsWith('/api/'),
  )
}, 1_800_000)

afterAll(() => world?.[Symbol.asyncDispose]())

/** Scans of tables of more than 50,000 rows so far, after every connection has reported its own. */
const scans = async (): Promise<Record<string, number>> => {
  await Promise.all(
    Array.from({ length: 8 }, () => sql((db) => db`select pg_stat_force_next_flush(), pg_sleep(0.005)`)),
  )
  const found = await sql<{ name: string; count: number }[]>(
    (db) => db`
      select relname as name, seq_scan as count from pg_stat_user_tables
      where relname in (select relname from pg_class where reltuples > 50000)`,
  )
  return Object.fromEntries(found.map(({ name, count }) => [name, count]))
}

/** A value of a parameter, by its name and schema; undefined where there is none to try. */
const samplesOf = (name: string, schema: Record<string, unknown>): string[] => {
  const kind = name.replace(/Id$/, '')
  if (name.endsWith('Id'))
    return [kind === 'project' ? ids.project : /^(?:task|parent)$/.test(kind) ? ids.task : ids.user]
  if (name === 'cursor' || name === 'scope') return []
  if (name === 'limit') return ['100']
  if (name === 'page') return ['1', '40']
  if (name === 'search' || name === 'q') return ['item', 'it li 42 t1', 'person']
  if (name === 'tag') return ['t1']
  if (name === 'email') return ['u7@example.com']
  if (/After$|^after$/.test(name)) return ['2026-01-01T00:00:00.000Z']
  if (/Before$|^before$/.test(name)) return ['2030-01-01T00:00:00.000Z']
  const words = schema['enum'] ?? Reflect.get(schema['items'] ?? {}, 'enum')
  if (Array.isArray(words)) return words.map(String)
  return schema['type'] === 'boolean' ? ['true', 'false'] : []
}

/** Every list and read, plain and with each parameter alone and together with a project. */
const urlsOf = ({ template, schemas }: Route): string[] => {
  const path = template
    .replace('/tasks/:id', `/tasks/${ids.task}`)
    .replace('/projects/:id', `/projects/${ids.project}`)
    .replace('/users/:id', `/users/${ids.user}`)
  if (path.includes(':') || template === '/api/sync') return []
  const properties: Record<string, Record<string, unknown>> = schemas.query?.['properties'] ?? {}
  const single = Object.entries(properties).flatMap(([name, schema]) =>
    samplesOf(name, schema).map((value) => `${name}=${encodeURIComponent(value)}`),
  )
  const within = 'projectId' in properties ? single.map((one) => `projectId=${ids.project}&${one}`) : []
  return ['', ...single, ...within.filter((one) => one.lastIndexOf('projectId') === 0)].map((query) =>
    query === '' ? path : `${path}?${query}`,
  )
}

test('no read of the API scans a large table', async () => {
  const guilty: string[] = []
  let asked = 0
  let before = await scans()
  expect(Object.keys(before)).toEqual(
    expect.arrayContaining(['tasks', 'notifications', 'comments', 'activity']),
  )
  for (const route of routes) {
    for (const url of urlsOf(route)) {
      let { status } = await calls.call('GET', url)
      if (status === 403) ({ status } = await admin.call('GET', url))
      asked += 1
      if (status >= 500) guilty.push(`${url}: ${status}`)
      const after = await scans()
      for (const [table, count] of Object.entries(after)) {
        // Numbered pages of all accounts count all accounts.
        if (table === 'users' && url.startsWith('/api/users?page=')) continue
        if (count > before[table]!) guilty.push(`${url}: ${table}`)
      }
      before = after
    }
  }
  console.log({ asked })
  expect(asked).toBeGreaterThan(80)
  expect(guilty).toEqual([])
}, 600_000)

test('the counter sees a scan', async () => {
  const before = await scans()
  await sql((db) => db`select max(length(title)) from tasks`)
  expect((await scans())['tasks']).toBeGreaterThan(before['tasks']!)
}, 60_000)
