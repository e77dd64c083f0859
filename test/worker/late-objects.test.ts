// A PUT that the store carries out after the upload was given up: its object goes all the same, by the second deletion of its key.
import { expect, test } from 'bun:test'
import { openWorker } from '../../src/app/compose-worker.ts'
import { createLog } from '../../src/log.ts'
import { s3Storage } from '../../src/storage/s3.ts'
import { eventually } from '../support/eventually.ts'
import { png } from '../support/images.ts'
import { s3Recorder, type S3Request } from '../support/s3-recorder.ts'
import { startS3Server } from '../support/s3-server.ts'
import { upload } from '../support/uploads.ts'
import { startWorld } from '../support/world.ts'

test('the object of each upload that was given up is deleted again, however late the store takes it', async () => {
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await startS3Server())
  const recorder = stack.use(await s3Recorder(server.port))
  const settings = { ...server.config(), s3Endpoint: `http://127.0.0.1:${recorder.port}` }
  const world = stack.use(await startWorld(settings))
  const { db } = world.server.deps
  stack.use(await openWorker(world.config, createLog('worker', 'silent')))
  const direct = stack.use(s3Storage(server.settings(), world.config.dataDir, createLog('test', 'silent')))
  const owner = await world.register()
  const newTask = async (): Promise<string> =>
    (await world.ask(owner, 'POST', '/api/tasks', { title: 'Files' })).id

  const keyOf = ({ url }: S3Request): string =>
    decodeURIComponent(new URL(url, 'http://s').pathname).slice('/tasktide/'.length)
  const puts = () => recorder.requests.filter(({ method }) => method === 'PUT')
  const objects = async (): Promise<string[]> =>
    (await Promise.all(['attachments/', 'avatars/'].map((prefix) => Array.fromAsync(direct.list(prefix)))))
      .flat()
      .map(({ key }) => key)

  const released = Promise.withResolvers<void>()
  recorder.fault = ({ method }) => (method === 'PUT' ? { holdUntil: released.promise } : undefined)
  // Three attachments that are given up, by the server, with their task, and by the cleanup; and a picture.
  const tasks = [await newTask(), await newTask(), await newTask()] as const
  const begun = tasks.map((taskId) => upload({ url: world.url, token: owner.token, taskId }))
  const picture = new FormData()
  picture.append('file', new File([png(8, 8)], 'me.png'))
  const avatar = fetch(`${world.url}/api/users/me/avatar`, {
    method: 'PUT',
    headers: { Authorization: `Bearer ${owner.token}` },
    body: picture,
  })
  await eventually(() => expect(new Set(puts().map(keyOf)).size).toBe(4), { timeoutMs: 20_000 })
  await world.ask(owner, 'DELETE', `/api/tasks/${tasks[1]}`)
  await db.transact((tx) => tx`update attachments set expires_at = now() where task_id = ${tasks[2]}`)
  const statuses = (await Promise.all([...begun, avatar])).map(({ status }) => status)
  expect(statuses).toEqual([503, 503, 503, 503])

  // Every key is deleted once; nothing is there.
  const keys = [...new Set(puts().map(keyOf))].toSorted()
  const deleted = (): string[] => [
    ...new Set(recorder.requests.filter(({ method }) => method === 'DELETE').map(keyOf)),
  ]
  await eventually(() => expect(deleted().toSorted()).toEqual(keys), { timeoutMs: 30_000, everyMs: 100 })
  await eventually(
    async () => {
      const due = await db.read((sql) => sql`select from file_deletions where created_at <= now()`)
      expect([due.length, await objects()]).toEqual([0, []])
    },
    { timeoutMs: 20_000, everyMs: 100 },
  )

  // Then the store takes what it has received.
  released.resolve()
  await eventually(async () => expect((await objects()).toSorted()).toEqual(keys), {
    timeoutMs: 20_000,
    everyMs: 100,
  })
  // Two hours later.
  const again = await db.transact(
    (tx) => tx<{ key: string }[]>`
      update file_deletions set created_at = now() - interval '3 seconds' where created_at > now() + interval '1 hour'
      returning key`,
  )
  expect(again.map(({ key }) => key).toSorted()).toEqual(keys)
  await eventually(async () => expect(await objects()).toEqual([]), { timeoutMs: 30_000, everyMs: 100 })
  await eventually(
    async () => expect(await db.read((sql) => sql`select from file_deletions`)).toHaveLength(0),
    { timeoutMs: 10_000 },
  )
}, 120_000)
