// The installation that the sections about HTTP share: people with tasks, a project with a long list, the bare servers
// beside it, and a database of its own for pgbench on the same PostgreSQL, which no server follows.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { urlOf } from '../dev/databases.ts'
import { runRole } from '../dev/roles.ts'
import { projectScope, shardOf } from '../src/model/scope.ts'
import type { Cluster } from '../test/support/cluster.ts'
import type { Context } from './context.ts'
import { copyUsers, fillTasks } from './fill.ts'
import { findPgbench, type PgbenchTarget } from './load/pgbench.ts'
import { registerPeople, type People, type Person } from './people.ts'

export interface Workbench extends AsyncDisposable {
  cluster: Cluster
  url: string
  people: People
  /** Whose project has the long list, beside the others' tasks. */
  first: Person
  /** The bare routes. */
  bare: { url: string; pid: number }
  /** Null where pgbench is not installed. */
  pgbench: PgbenchTarget | null
}

export const userCount = 50
export const tasksEach = 20

/** A process of the run that sends its address; it ends with the stack, and with this process. */
export const startHelper = async (
  stack: AsyncDisposableStack,
  file: string,
  { env, isCollectable = false }: { env?: Record<string, string>; isCollectable?: boolean } = {},
): Promise<{ url: string; pid: number }> => {
  const address = Promise.withResolvers<string>()
  const servers = join(import.meta.dir, 'servers')
  const preload = isCollectable ? ['--preload', join(servers, 'collect.ts')] : []
  const child = Bun.spawn([process.execPath, ...preload, join(servers, file)], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
    ipc: ({ url }: { url: string }) => address.resolve(url),
    onExit: (_, code) => address.reject(new Error(`${file} ended (${code})`)),
  })
  stack.defer(async () => {
    child.kill()
    await child.exited
  })
  return { url: await address.promise, pid: child.pid }
}

export const openWorkbench = async (
  context: Pick<Context, 'plan' | 'report' | 'install'>,
): Promise<Workbench> => {
  const { plan, report } = context
  await using stack = new AsyncDisposableStack()
  const cluster = stack.use(await context.install())
  const { url } = cluster.servers[0]!
  report(`making ${userCount} users with ${tasksEach} tasks each, and a list of ${plan.tasks}`)
  const people = await registerPeople(url, userCount, { tasksEach })
  const first = people.users[0]!
  await fillTasks(cluster.databaseUrl, first, plan.tasks - tasksEach)
  const bare = await startHelper(stack, 'bare.ts')
  const program = findPgbench()
  const pgbench = program === null ? null : await limitDatabase(cluster, people, plan.tasks, program)
  const owned = stack.move()
  return { cluster, url, people, first, bare, pgbench, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** The same users, projects and tasks in another database, so that no server or worker reads what pgbench writes. */
const limitDatabase = async (
  cluster: Cluster,
  { users }: People,
  tasks: number,
  program: string,
): Promise<PgbenchTarget> => {
  const databaseUrl = urlOf(cluster.postgres.url, 'pgbench')
  const logsDir = await mkdtemp(join(tmpdir(), 'tide-bench-'))
  try {
    const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], DATABASE_URL: databaseUrl }
    await runRole('migrate', { env, logsDir })
  } finally {
    await rm(logsDir, { recursive: true, force: true })
  }
  const taskIds = await copyPeople(databaseUrl, users)
  await fillTasks(databaseUrl, users[0]!, tasks - tasksEach)
  return {
    program,
    databaseUrl,
    projects: users.map(({ projectId: id }) => ({ id, shard: shardOf(projectScope(id)) })),
    taskIds,
  }
}

const copyPeople = async (databaseUrl: string, users: readonly Person[]): Promise<string[]> => {
  await copyUsers(databaseUrl, users)
  // In turn, as the loads mix them: task n belongs to user n modulo their number.
  return users[0]!.taskIds.flatMap((_, index) => users.map(({ taskIds }) => taskIds[index]!))
}
