// A server that is killed at each named point of an upload: once a worker has run, every object belongs to a row and every
// row has its object. The control stores the object before the row, and is found out.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { join } from 'node:path'
import { projectScope } from '../../src/model/scope.ts'
import { uploadPoints } from '../chaos/files/points.ts'
import { variantEnvironment } from '../chaos/variants.ts'
import { eventually } from '../support/eventually.ts'
import { upload } from '../support/uploads.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { withWorkers } from '../worker/rig.ts'

let world: World
let owner: Person
let taskId: string

beforeEach(async () => {
  world = await startWorld()
  owner = await world.register()
  taskId = (await world.ask(owner, 'POST', '/api/tasks', { title: 'Files' })).id
}, 30_000)
afterEach(() => world[Symbol.asyncDispose](), 30_000)

/** Another server of the world, in a process that kills itself. @returns whether an upload to it was answered. */
const uploadToDoomed = async (variant: string, point: string): Promise<boolean> => {
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, '../../src/main.ts'), 'server', '--json'],
    {
      env: {
        ...process.env,
        ...variantEnvironment(variant),
        TIDE_FAILPOINT: point,
        DATABASE_URL: world.databaseUrl,
        REDIS_URL: world.redisUrl,
        JWT_SECRETS: 'k1:0123456789abcdef0123456789abcdef-test',
        TIDE_DATA: world.config.dataDir,
        RATE_LIMIT: 'off',
        PORT: '0',
        METRICS_PORT: '0',
        LOG_LEVEL: 'silent',
      },
      stdout: 'pipe',
      stderr: 'inherit',
    },
  )
  try {
    const first = new TextDecoder().decode((await child.stdout.getReader().read()).value)
    const { url } = JSON.parse(first.split('\n')[0]!) as { url: string }
    const answer = await upload({ url, token: owner.token, taskId, content: 'kept or gone' }).catch(
      () => null,
    )
    await child.exited
    expect(child.signalCode).toBe('SIGKILL')
    return answer !== null
  } finally {
    child.kill('SIGKILL')
    await child.exited
  }
}

const keysOf = async () => {
  const rows = await world.server.deps.db.read(
    (sql) => sql<{ state: string; key: string }[]>`select state, storage_key as key from attachments`,
  )
  const [{ listed }] = (await world.server.deps.db.read(
    (sql) => sql`select count(*)::int as listed from file_deletions`,
  )) as unknown as [{ listed: number }]
  const objects: string[] = []
  for await (const { key } of world.server.deps.storage.list('attachments/')) objects.push(key)
  const inState = (state: string) => rows.filter((row) => row.state === state).map(({ key }) => key)
  return {
    objects: objects.toSorted(),
    ready: inState('ready').toSorted(),
    uploading: inState('uploading'),
    listed,
  }
}

/** Hours later, with a worker that has done what there was to do. */
const settle = async () => {
  await world.server.deps.db.transact(
    (tx) => tx`update attachments set expires_at = now() - interval '1 second' where state = 'uploading'`,
  )
  const { dataDir } = world.config
  await withWorkers(1, { ...world, dataDir, overdueIntervalMs: 60_000 }, () =>
    eventually(
      async () => {
        // The second deletions, which are due two hours later.
        await world.server.deps.db.transact(
          (tx) =>
            tx`update file_deletions set created_at = now() - interval '3 seconds' where created_at > now()`,
        )
        expect(await keysOf()).toMatchObject({ uploading: [], listed: 0 })
      },
      { timeoutMs: 20_000 },
    ),
  )
  return keysOf()
}

for (const point of [...uploadPoints, 'uncommitted', 'committed']) {
  test(`killed at ${point}, nothing is left that no row names, and no row without its object`, async () => {
    expect(await uploadToDoomed('failpoints', point)).toBe(false)
    const { objects, ready } = await settle()
    expect(objects).toEqual(ready)
    expect(ready.length).toBe(['committed', 'upload-committed'].includes(point) ? 1 : 0)
    const task = await world.ask(owner, 'GET', `/api/tasks/${taskId}`)
    expect(task.attachmentCount).toBe(ready.length)
    const added = (await world.entries(projectScope(owner.inboxId))).filter(
      ({ type }) => type === 'attachment.added',
    )
    expect(added.length).toBe(ready.length)
  }, 60_000)
}

test('control: an object that is stored before its row is left behind by a kill', async () => {
  await uploadToDoomed('upload-object-first', 'upload-object')
  const { objects, ready } = await settle()
  expect([objects.length, ready.length]).toEqual([1, 0])
}, 60_000)
