// The job engine: each delivery that committed is acted on and completed once, whatever ends or stops in between.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Queue } from 'bullmq'
import type { Database } from '../../../src/db/client.ts'
import { retryFailed } from '../../../src/db/deliveries/claims.ts'
import { createLog } from '../../../src/log.ts'
import { queues as concurrencyOf, type JobKind } from '../../../src/queues/jobs.ts'
import { newId } from '../../../src/model/scalar.ts'
import { openQueues, queuePrefix } from '../../../src/queues/job-queues.ts'
import { openRedis } from '../../../src/redis/connection.ts'
import { dispatchDeliveries } from '../../../src/worker/jobs/dispatcher.ts'
import { JobRefused } from '../../../src/worker/jobs/processor.ts'
import { testDatabase, testRedis } from '../../support/environment.ts'
import { durationOf, eventually } from '../../support/eventually.ts'
import { startProgram } from '../../support/program.ts'
import {
  createEffects,
  deliver,
  deliveryOf,
  effectsOf,
  openDb,
  openJobs,
  processorOf,
  settled,
  type JobRig,
} from './rig.ts'

const log = createLog('test', 'silent')
let stack: AsyncDisposableStack
let rig: JobRig
let db: Database
let redis: Awaited<ReturnType<typeof testRedis>>

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  const database = stack.use(await testDatabase())
  redis = stack.use(await testRedis())
  rig = { databaseUrl: database.url, redisUrl: redis.url }
  db = stack.use(openDb(database.url))
  await createEffects(db)
})

afterEach(() => stack.disposeAsync())

const keys = (count: number, name = 'key'): string[] =>
  Array.from({ length: count }, (_, n) => `${name}-${String(n).padStart(3, '0')}`)

test('a delivery runs soon after its commit, without another wake-up', async () => {
  await using _jobs = await openJobs(rig, [processorOf(async () => {})])
  await deliver(db, 'warm')
  await settled(db)
  const tookMs = await durationOf(async () => {
    await deliver(db, 'a')
    await settled(db)
  })
  expect(await effectsOf(db)).toEqual(['a', 'warm'])
  expect(tookMs).toBeLessThan(3_000)
})

test('two workers complete each of 200 deliveries once', async () => {
  const acted: string[] = []
  const processor = processorOf(async ([key]) => void acted.push(key!))
  await using _one = await openJobs(rig, [processor])
  await using _two = await openJobs(rig, [processor])
  await deliver(db, ...keys(200))
  await settled(db)
  expect(await effectsOf(db)).toEqual(keys(200))
  expect(acted.toSorted()).toEqual(keys(200))
}, 90_000)

test('jobs that Redis lost are made again', async () => {
  await deliver(db, ...keys(20))
  await using connection = openRedis(rig.redisUrl, 'request', log)
  await eventually(() => expect(connection.client.status).toBe('ready'))
  await using queues = openQueues({ redis: connection.client, log })
  expect(await dispatchDeliveries({ db, queues, kinds: ['files.delete'] })).toBe(20)
  expect(await queues.of('files').getJobCountByTypes('waiting')).toBe(20)
  await connection.client.flushall()
  await using _jobs = await openJobs(rig, [processorOf(async () => {})])
  await settled(db)
  expect(await effectsOf(db)).toEqual(keys(20))
})

test('jobs below the prefix of a previous version are made again below one that keeps their keys in one slot', async () => {
  await deliver(db, ...keys(5))
  await using connection = openRedis(rig.redisUrl, 'request', log)
  await eventually(() => expect(connection.client.status).toBe('ready'))
  await using previous = stackable(
    new Queue<unknown, unknown, JobKind>('files', { connection: connection.client, prefix: 'tide:queues' }),
  )
  const queues = { all: [previous.value], of: () => previous.value, async [Symbol.asyncDispose]() {} }
  expect(await dispatchDeliveries({ db, queues, kinds: ['files.delete'] })).toBe(5)
  const former = await connection.client.keys('*')
  await using _jobs = await openJobs(rig, [processorOf(async () => {})])
  await settled(db)
  expect(await effectsOf(db)).toEqual(keys(5))
  const made = (await connection.client.keys('*')).filter((key) => !former.includes(key))
  expect(made.length).toBeGreaterThan(0)
  expect(made.filter((key) => !key.startsWith('{tide-jobs}:'))).toEqual([])
})

test('a Redis that is emptied while jobs run repeats and loses nothing', async () => {
  await using connection = openRedis(rig.redisUrl, 'request', log)
  await using _jobs = await openJobs(rig, [
    processorOf(async () => void (await connection.client.flushall().catch(() => {}))),
  ])
  await deliver(db, ...keys(30))
  await settled(db, 60_000)
  expect(await effectsOf(db)).toEqual(keys(30))
}, 90_000)

test('an attempt that fails waits in its row with its error, longer each time, and succeeds in the end', async () => {
  const attempts: number[] = []
  await using jobs = await openJobs(rig, [
    processorOf(async (_keys, { attempt }) => {
      attempts.push(attempt)
      if (attempt < 3) throw new Error('storage is away')
    }),
  ])
  await deliver(db, 'a')
  await eventually(async () => {
    const row = await deliveryOf(db, 'a')
    expect(row).toMatchObject({ state: 'waiting', attempts: 1, lastError: 'storage is away' })
    expect(row.dueInMs).toBeLessThanOrEqual(1_000)
  })
  await settled(db)
  expect(attempts).toEqual([1, 2, 3])
  expect(await deliveryOf(db, 'a')).toMatchObject({ state: 'done', attempts: 3, fence: 3, lastError: null })
  expect(jobs.stats).toEqual({ done: 1, retried: 2, failed: 0, superseded: 0 })
}, 15_000)

test('a refused delivery fails at once, is kept in Redis for administrators, and runs when its row is set back', async () => {
  let isRefused = true
  let acted = 0
  await using jobs = await openJobs(rig, [
    processorOf(async () => {
      acted += 1
      if (isRefused) throw new JobRefused('no such bucket')
    }),
  ])
  const [id] = await deliver(db, 'a')
  await settled(db)
  const failed = { state: 'failed', attempts: 1, lastError: 'no such bucket' }
  expect(await deliveryOf(db, 'a')).toMatchObject(failed)
  expect(jobs.stats.failed).toBe(1)
  await using connection = openRedis(rig.redisUrl, 'request', log)
  await eventually(() => expect(connection.client.status).toBe('ready'))
  await using queue = stackable(new Queue('files', { connection: connection.client, prefix: queuePrefix }))
  const failedJob = (finishes: number) =>
    eventually(async () => {
      const found = await queue.value.getJob(id!)
      expect(await found?.getState()).toBe('failed')
      expect(found?.attemptsStarted).toBe(finishes)
      return found!
    })
  const job = await failedJob(1)
  expect(job.failedReason).toBe('no such bucket')
  isRefused = false

  // The job alone comes again, as that of a worker that was killed before Redis heard of the failure: nothing runs.
  await job.retry('failed')
  expect((await failedJob(2)).failedReason).toBe('no such bucket')
  expect(await deliveryOf(db, 'a')).toMatchObject(failed)
  expect(acted).toBe(1)

  // The row alone, as by a server that is killed before it retries the job: the job is made again.
  await db.transact((tx) => retryFailed(tx, { id: id! }))
  await eventually(async () => expect(await effectsOf(db)).toEqual(['a']), { timeoutMs: 30_000 })
  expect(await deliveryOf(db, 'a')).toMatchObject({ state: 'done', attempts: 1 })
}, 45_000)

test('the failed deliveries of some kinds are set back, and no others', async () => {
  await db.transact(async (tx) => {
    await tx`
      insert into deliveries (id, kind, dedupe_key, payload, state, attempts, ended_at) values
        (gen_random_uuid(), 'files.delete', 'failed', '{}', 'failed', 7, now()),
        (gen_random_uuid(), 'files.delete', 'done', '{}', 'done', 7, now()),
        (gen_random_uuid(), 'mail.invitation', 'other', '{}', 'failed', 7, now())`
    await retryFailed(tx, { kinds: ['files.delete', 'files.verify'] })
  })
  expect(await deliveryOf(db, 'failed')).toMatchObject({ state: 'waiting', attempts: 0 })
  expect(await deliveryOf(db, 'done')).toMatchObject({ state: 'done', attempts: 7 })
  expect(await deliveryOf(db, 'other')).toMatchObject({ state: 'failed', attempts: 7 })
})

test('the job of a kind that only another version knows leaves its row to the workers that do', async () => {
  await using _jobs = await openJobs(rig, [processorOf(async () => {})])
  const id = newId()
  await db.transact(
    (tx) => tx`
      insert into deliveries (id, kind, dedupe_key, payload, state, next_at)
      values (${id}, 'files.rename', 'newer', '{}', 'queued', now() + interval '1 hour')`,
  )
  await using connection = openRedis(rig.redisUrl, 'request', log)
  await eventually(() => expect(connection.client.status).toBe('ready'))
  await using queue = stackable(new Queue('files', { connection: connection.client, prefix: queuePrefix }))
  await queue.value.add('files.rename', {}, { jobId: id, attempts: 9, backoff: { type: 'custom' } })
  await eventually(async () => expect(await (await queue.value.getJob(id))?.getState()).toBe('delayed'))
  expect(await deliveryOf(db, 'newer')).toMatchObject({ state: 'queued', attempts: 0, lastError: null })
}, 20_000)

test('each attempt has one line in the log, with its outcome', async () => {
  const config = { ...rig, jwtKeys: [{ kid: 'k1', secret: 'x'.repeat(32) }] }
  const dataDir = await mkdtemp(join(tmpdir(), 'tide-job-lines-'))
  stack.defer(() => rm(dataDir, { recursive: true, force: true }))
  const [done, retried] = await deliver(db, 'never/stored', 'no key of this storage')
  const [failed] = await db.transact(
    (tx) => tx<{ id: string }[]>`
      insert into deliveries (id, kind, dedupe_key, payload)
      values (gen_random_uuid(), 'files.delete', 'b', '{"paths": []}') returning id`,
  )
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the program reads the URLs and keys only
  await using program = await startProgram({ config } as never, {
    args: ['worker'],
    environment: { LOG_LEVEL: 'info', WORKER_PORT: '0', TIDE_DATA: dataDir },
  })
  await eventually(async () => {
    const lines = (await program.output())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter(({ msg, kind }) => msg === 'job' && kind === 'files.delete')
      .filter(({ attempt }) => attempt === 1)
    const line = { level: 'info', name: 'worker', attempt: 1, durationMs: expect.any(Number) }
    expect(lines.toSorted((a, b) => String(a.outcome).localeCompare(b.outcome))).toEqual([
      expect.objectContaining({ ...line, deliveryId: done, outcome: 'done' }),
      expect.objectContaining({ ...line, deliveryId: failed!.id, outcome: 'failed' }),
      expect.objectContaining({ ...line, deliveryId: retried, outcome: 'retried' }),
    ])
  })
}, 60_000)

test('a payload of another version and a kind without a processor are not processed', async () => {
  let acted = 0
  await using _jobs = await openJobs(rig, [processorOf(async () => void (acted += 1))])
  await db.transact(async (tx) => {
    await tx`
      insert into deliveries (id, kind, dedupe_key, payload)
      values (gen_random_uuid(), 'files.delete', 'a', '{"paths": []}'), (gen_random_uuid(), 'files.rename', 'b', '{}')`
  })
  await eventually(async () =>
    expect(await deliveryOf(db, 'a')).toMatchObject({
      state: 'failed',
      lastError: 'the payload is not one of this version',
    }),
  )
  expect(await deliveryOf(db, 'b')).toMatchObject({ state: 'waiting', attempts: 0 })
  expect(acted).toBe(0)
})

test('an attempt ends when its worker stops: it is given back and does not count', async () => {
  const began = Promise.withResolvers<void>()
  {
    await using _jobs = await openJobs(rig, [
      processorOf(async () => {
        began.resolve()
        await new Promise(() => {}) // does not react to its signal
      }),
    ])
    await deliver(db, 'a')
    await began.promise
  }
  expect(await deliveryOf(db, 'a')).toMatchObject({ state: 'waiting', attempts: 0, fence: 1 })
  await using _jobs = await openJobs(rig, [processorOf(async () => {})])
  await settled(db)
  expect(await effectsOf(db)).toEqual(['a'])
}, 20_000)

test('deliveries wait while Redis is away and run when it is back', async () => {
  await redis.stop()
  await using _jobs = await openJobs(rig, [processorOf(async () => {})])
  await deliver(db, ...keys(10))
  await eventually(async () => expect(await deliveryOf(db, 'key-000')).toMatchObject({ state: 'queued' }))
  await redis.start()
  await settled(db, 30_000)
  expect(await effectsOf(db)).toEqual(keys(10))
}, 45_000)

test('a queue goes on after Redis died under the commands that end its jobs', async () => {
  let acting = 0
  const stopped = Promise.withResolvers<void>()
  await using _jobs = await openJobs(rig, [
    processorOf(async () => {
      acting += 1
      await stopped.promise
    }),
  ])
  const asManyAsRun = keys(concurrencyOf.files)
  await deliver(db, ...asManyAsRun)
  await eventually(() => expect(acting).toBe(asManyAsRun.length))
  process.kill(redis.pid, 'SIGSTOP')
  stopped.resolve()
  await settled(db)
  await redis.kill()
  await redis.start()
  const later = keys(20, 'later')
  await deliver(db, ...later)
  await settled(db, 30_000)
  expect(await effectsOf(db)).toEqual([...asManyAsRun, ...later])
}, 60_000)

const spawnChild = () => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'child.ts'), JSON.stringify(rig)], {
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'inherit',
  })
  stack.defer(() => child.kill('SIGKILL'))
  let output = ''
  const reading = (async () => {
    const decoder = new TextDecoder()
    for await (const chunk of child.stdout) output += decoder.decode(chunk)
  })()
  reading.catch(() => {}) // the test ends it
  const printed = (text: string): Promise<void> =>
    eventually(() => expect(output).toContain(text), { timeoutMs: 20_000 })
  return { child, printed }
}

test('the job of a worker that was killed runs elsewhere within 15 s', async () => {
  const { child, printed } = spawnChild()
  await deliver(db, 'a')
  await printed('acting a')
  await using _jobs = await openJobs(rig, [processorOf(async () => {})])
  child.kill('SIGKILL')
  const tookMs = await durationOf(() => settled(db, 30_000))
  expect(await effectsOf(db)).toEqual(['a'])
  expect(await deliveryOf(db, 'a')).toMatchObject({ attempts: 2, fence: 2 })
  expect(tookMs).toBeLessThan(20_000) // 60 s by BullMQ's defaults
}, 45_000)

test('a worker that was stopped and continued after another took over completes nothing', async () => {
  const { child, printed } = spawnChild()
  await deliver(db, 'a')
  await printed('acting a')
  child.kill('SIGSTOP')
  await using _jobs = await openJobs(rig, [processorOf(async () => {})])
  await settled(db, 20_000)
  child.kill('SIGCONT')
  void child.stdin.write('\n')
  await child.stdin.flush()
  await printed('superseded')
  expect(await effectsOf(db)).toEqual(['a'])
}, 45_000)

const stackable = <T extends { close(): Promise<void> }>(value: T) => ({
  value,
  [Symbol.asyncDispose]: () => value.close(),
})
