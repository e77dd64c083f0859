// docs/backup.md, the cold copy: a restored data folder has what was there when it was copied, and a client that has seen
// more reads its snapshot again and goes on.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { urlOf } from '../../dev/databases.ts'
import { startPostgres } from '../../dev/postgres.ts'
import { createClient } from '../../packages/client/src/client.ts'
import { freePort, testRedis } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { jsonCall } from '../support/json-call.ts'
import { runProgram, startProgram, type Program } from '../support/program.ts'
import { openSocket } from '../support/socket.ts'

const stack = new AsyncDisposableStack()
const port = String(freePort())
let dir: string
let redisUrl: string

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tide-backup-'))
  stack.defer(() => rm(dir, { recursive: true, force: true }))
  redisUrl = stack.use(await testRedis()).url
})

afterAll(() => stack.disposeAsync(), 30_000)

/** A server on the data of a folder: on the same port each time, with the same secrets and Redis. */
const serve = (databaseUrl: string, folder: string): Promise<Program> => {
  const config = { databaseUrl, redisUrl, jwtKeys: [{ kid: 'k1', secret: 'x'.repeat(32) }] }
  const environment = { PORT: port, TIDE_DATA: join(dir, folder) }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the program reads the URLs and keys only
  return startProgram({ config } as never, { args: ['server'], environment })
}

const postgresIn = (folder: string) =>
  startPostgres({ dataDir: join(dir, folder, 'postgres'), durable: true })

const migrate = async (databaseUrl: string, ...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await runProgram(
    ['migrate', ...args],
    { DATABASE_URL: databaseUrl },
    60_000,
  )
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return stdout
}

const copy = async (from: string, to: string): Promise<void> => {
  const child = Bun.spawn(['cp', '-a', join(dir, from), join(dir, to)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  expect(await child.exited).toBe(0)
}

test('a copy of the stopped data is restored with a new epoch, and an old cursor leads to the snapshot', async () => {
  const url = `http://127.0.0.1:${port}`
  const call = jsonCall(url)
  const client = createClient({ url })
  stack.defer(() => client.close())
  const account = { email: 'anna@example.com', password: 'correct horse battery', name: 'Anna' }
  let token = ''
  let projectId = ''
  let attachmentId = ''
  const add = async (title: string): Promise<void> =>
    expect(await call('POST', '/api/tasks', { title, projectId }, token)).toMatchObject({ status: 201 })
  const titles = (): string[] => view.current.tasks.map(({ title }) => title).toSorted()
  const syncFrom = (cursor: string) =>
    call('GET', `/api/sync?scope=project:${projectId}&cursor=${encodeURIComponent(cursor)}`, undefined, token)

  // Before the copy: an account, a task with a file, and a client that follows.
  let postgres = await postgresIn('data')
  const databaseUrl = urlOf(postgres.url, 'tasktide')
  await migrate(databaseUrl)
  let server = await serve(databaseUrl, 'data')
  const { body: session } = await call('POST', '/api/auth/register', account)
  token = session.accessToken
  const { body: project } = await call('POST', '/api/projects', { name: 'Launch' }, token)
  projectId = project.id
  const { body: task } = await call('POST', '/api/tasks', { title: 'kept', projectId }, token)
  const file = new FormData()
  file.set('file', new File(['what the file says'], 'note.txt', { type: 'text/plain' }))
  const attached = await fetch(`${url}/api/tasks/${task.id}/attachments`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}` },
    body: file,
  })
  expect(attached.status).toBe(201)
  attachmentId = (await attached.json()).id
  await client.session.adopt(session)
  const view = client.project(projectId).live()
  await view.ready
  expect(titles()).toEqual(['kept'])
  await server.stop('SIGKILL')
  await postgres[Symbol.asyncDispose]()
  await copy('data', 'backup')

  // After the copy: a change that the client sees and the copy does not have.
  postgres = await postgresIn('data')
  server = await serve(urlOf(postgres.url, 'tasktide'), 'data')
  await add('lost')
  await eventually(() => expect(titles()).toEqual(['kept', 'lost']), { timeoutMs: 20_000 })
  const { body: before } = await call('GET', `/api/projects/${projectId}/snapshot`, undefined, token)
  await server.stop('SIGKILL')
  await postgres[Symbol.asyncDispose]()

  // The restore.
  await copy('backup', 'restored')
  postgres = stack.use(await postgresIn('restored'))
  const restoredUrl = urlOf(postgres.url, 'tasktide')
  expect(await migrate(restoredUrl, 'epoch', '--new')).toContain('every client reads its snapshot again')
  server = stack.use(await serve(restoredUrl, 'restored'))
  expect(await syncFrom(before.cursor)).toMatchObject({
    status: 410,
    body: { code: 'cursor_expired', reason: 'epoch', snapshot: `/api/projects/${projectId}/snapshot` },
  })
  await using socket = await openSocket(url, { token })
  await socket.take('welcome')
  socket.send({ t: 'sub', rid: 1, scope: `project:${projectId}`, cursor: before.cursor })
  expect(await socket.take('resync')).toMatchObject({ reason: 'epoch' })
  await eventually(() => expect(titles()).toEqual(['kept']), { timeoutMs: 20_000 })

  // It goes on: the log, the streams, the files.
  const { body: after } = await call('GET', `/api/projects/${projectId}/snapshot`, undefined, token)
  await add('next')
  await eventually(() => expect(titles()).toEqual(['kept', 'next']), { timeoutMs: 20_000 })
  expect(await syncFrom(after.cursor)).toMatchObject({
    status: 200,
    body: { scopes: [{ events: [{ type: 'task.created', data: { title: 'next' } }] }] },
  })
  const download = await fetch(`${url}/api/attachments/${attachmentId}`, {
    headers: { Authorization: `Bearer ${token}` },
  })
  expect(await download.text()).toBe('what the file says')
}, 180_000)
