// A store that is away for an hour: what has to be deleted waits, with longer and longer pauses, and is gone soon after the
// store is back. The pauses between attempts are added up instead of waited for.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { tmpdir } from 'node:os'
import { createPublisher } from '../../../src/changelog/publisher.ts'
import type { Database } from '../../../src/db/client.ts'
import { queueFileDeletions } from '../../../src/db/files/deletion-queue.ts'
import { insertFileDeletions } from '../../../src/db/files/file-deletions.ts'
import { selectFileState } from '../../../src/db/files/sweep.ts'
import { createLog } from '../../../src/log.ts'
import { openMailer } from '../../../src/mail/open-mailer.ts'
import { definitionOf, jobKinds } from '../../../src/queues/jobs.ts'
import { openRedis } from '../../../src/redis/connection.ts'
import { s3Storage } from '../../../src/storage/s3.ts'
import type { Storage } from '../../../src/storage/storage.ts'
import { runAttempt, type AttemptDeps, type JobStats } from '../../../src/worker/jobs/attempt.ts'
import { deleteFiles } from '../../../src/worker/jobs/files-delete.ts'
import { HeldLeases } from '../../../src/worker/jobs/held-leases.ts'
import { storageProxy, type StorageProxy } from '../../chaos/files/storage-proxy.ts'
import { testDatabase, testRedis } from '../../support/environment.ts'
import { startS3Server } from '../../support/s3-server.ts'
import { linkConfig } from '../rig.ts'
import { openDb } from './rig.ts'

const hourMs = 3_600_000
const log = createLog('test', 'silent')
const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync(), 30_000)

let db: Database
let proxy: StorageProxy
/** Past the proxy. */
let store: Storage
let own: AttemptDeps
const counted: Partial<Record<keyof JobStats, number>> = {}

beforeAll(async () => {
  db = stack.use(openDb(stack.use(await testDatabase()).url))
  const s3 = stack.use(await startS3Server())
  proxy = stack.use(await storageProxy(s3.port))
  store = stack.use(s3Storage(s3.settings(), tmpdir(), log))
  // One try a call: the attempts are what is counted.
  const storage = stack.use(s3Storage(s3.settings(proxy.port), tmpdir(), log, { tries: 1 }))
  const redis = stack.use(openRedis(stack.use(await testRedis()).url, 'request', log))
  const publisher = stack.use(createPublisher({ redis: redis.client, db, log }))
  const mailFrom = 'tasks@example.com'
  const mailer = stack.use(openMailer({ smtpUrl: null, dataDir: tmpdir(), mailFrom }, log))
  own = {
    deps: { db, publisher, storage, mailer, config: linkConfig, log },
    processors: new Map([[deleteFiles.kind, deleteFiles]]),
    leases: new HeldLeases(db),
    count: (_kind, outcome) => (counted[outcome] = (counted[outcome] ?? 0) + 1),
  }
}, 60_000)

test('for an hour no deletion gives up, and the objects are gone at the first attempt after it', async () => {
  const keys = Array.from({ length: 3 }, (_, n) => `attachments/2026-11/object-${n}`)
  for (const key of keys) await store.put(key, new TextEncoder().encode('text'))
  await db.transact((tx) => insertFileDeletions(tx, keys))
  expect(await db.transact((tx) => queueFileDeletions(tx))).toBe(keys.length)
  const deliveries = await db.read((sql) => sql<{ id: string }[]>`select id from deliveries`)
  expect(deliveries).toHaveLength(1)
  const { id } = deliveries[0]!

  proxy.mode = 'away'
  const waits: number[] = []
  for (let elapsedMs = 0; elapsedMs < hourMs;) {
    const end = await runAttempt(own, id)
    if (end.kind !== 'retry') throw new Error(`ended as ${JSON.stringify(end)} after ${elapsedMs} ms`)
    waits.push(end.inMs)
    elapsedMs += end.inMs
  }
  expect(counted).toEqual({ retried: waits.length })
  // The first after a second at most; then the pauses grow, and the store is not asked all the time.
  expect(waits[0]).toBeLessThanOrEqual(1_000)
  expect(waits.length).toBeLessThan(600)
  // So soon after the store is back they are tried again.
  expect(Math.max(...waits)).toBeLessThanOrEqual(15_000)
  expect((await store.head(keys[0]!))?.size).toBe(4)

  proxy.mode = 'healthy'
  expect(await runAttempt(own, id)).toEqual({ kind: 'done' })
  expect(await Array.fromAsync(store.list('attachments/'))).toEqual([])
  expect(await db.read(selectFileState)).toMatchObject({ deletions: 0 })
  const [row] = await db.read((sql) => sql<{ state: string }[]>`select state from deliveries`)
  expect(row!.state).toBe('done')
  expect(counted).toEqual({ retried: waits.length, done: 1 })
}, 120_000)

test('the attempts of mails and files last for a day at least, those of the sweep for three hours, whatever the jitter', () => {
  const shortest = jobKinds.map((kind) => {
    const { attempts, backOff } = definitionOf(kind)
    let waitedMs = 0
    // Half of a wait is jitter.
    for (let failures = 1; failures < attempts; failures += 1)
      waitedMs += Math.min(backOff.baseMs * 2 ** (failures - 1), backOff.maxMs) / 2
    return { kind, hours: waitedMs / hourMs }
  })
  expect(shortest.filter(({ kind, hours }) => hours < (kind === 'files.sweep' ? 3 : 24))).toEqual([])
})
