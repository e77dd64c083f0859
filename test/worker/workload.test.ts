// What waits and what is stored, as operators see it: in /readyz, in the log and in the metrics of a worker that is a process.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { newId } from '../../src/model/scalar.ts'
import { diskStorage } from '../../src/storage/disk.ts'
import { WorkloadProbe, workloadLogging, type Workload } from '../../src/worker/workload.ts'
import { eventually } from '../support/eventually.ts'
import { startProgram, type Program } from '../support/program.ts'
import { startS3Server } from '../support/s3-server.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let owner: Person
let taskId: string

const sizes = [1_000_000, 20, 300]

beforeAll(async () => {
  world = await startWorld()
  owner = await world.register()
  taskId = (await world.ask(owner, 'POST', '/api/tasks', { title: 'Files' })).id
  await world.register()
  await world.server.deps.db.transact(async (tx) => {
    const attach = (size: number, state: string, isMissing: boolean) => tx`
      insert into attachments
        (id, task_id, uploader_id, state, storage_key, filename, content_type, size, sha256, expires_at, missing_since)
      values (${newId()}, ${taskId}, ${owner.id}, ${state}, ${`attachments/2026-11/${newId()}`}, 'a.txt', 'text/plain',
        ${size}, '', ${state === 'waiting' ? tx`now() + interval '1 hour'` : null}, ${isMissing ? tx`now()` : null})`
    for (const size of sizes) await attach(size, 'ready', size === 20)
    await attach(7, 'waiting', false)
    await tx`update users set avatar_key = 'avatars/' || id, avatar_type = 'image/png'`
    // A deletion whose delivery has failed: no worker does it until it is queued again.
    await tx`
      insert into file_deletions (key, created_at, queued_at)
      values ('attachments/2026-11/gone', now() - interval '3 hours', now())`
    await tx`
      insert into deliveries (id, kind, dedupe_key, payload, state, attempts, ended_at, created_at, next_at)
      values
        (${newId()}, 'files.delete', 'a', '{}', 'failed', 8000, now(), now() - interval '1 day', now()),
        (${newId()}, 'mail.verification', 'b', '{}', 'waiting', 3, null, now() - interval '2 hours', now() + interval '1 hour'),
        (${newId()}, 'mail.verification', 'c', '{}', 'waiting', 0, null, now() - interval '1 day', now() + interval '1 hour'),
        (${newId()}, 'of.a.newer.version', 'd', '{}', 'waiting', 0, null, now() - interval '10 seconds', now())`
    await tx`
      insert into dead_letter (consumer, shard, seq, error, attempts, entry)
      values ('notifications', 0, 1, 'cannot handle it', 5, '{}'), ('stats', 0, 1, 'cannot handle it', 5, '{}')`
  })
}, 60_000)

afterAll(() => world[Symbol.asyncDispose]())

const start = (environment: Record<string, string>): Promise<Program> =>
  startProgram(world, {
    args: ['worker'],
    environment: { WORKER_PORT: '0', LOG_LEVEL: 'info', ...environment },
  })

const readyz = async (
  worker: Program,
): Promise<Workload & { status: string; parts: Record<string, string> }> =>
  (await fetch(`${worker.url}/readyz`)).json()

const stored = { attachments: 3, bytes: 1_000_320, avatars: 2 }

const waiting = {
  deadLetters: 2,
  deliveries: expect.arrayContaining([
    { kind: 'files.delete', open: 0, running: 0, failed: 1, oldestSeconds: 0 },
    // Two hours, not a day: the older one has never been tried and is not due.
    { kind: 'mail.verification', open: 2, running: 0, failed: 0, oldestSeconds: expect.closeTo(7_200, -4) },
    { kind: 'of.a.newer.version', open: 1, running: 0, failed: 0, oldestSeconds: expect.any(Number) },
  ]),
  files: {
    missing: 1,
    deletions: 1,
    oldestDeletionSeconds: expect.closeTo(10_800, -4),
    stored: { ...stored, countedAt: expect.any(String) },
  },
}

test('a worker reports what waits, what has failed, what is stored and the space that is left', async () => {
  await using worker = await start({ TIDE_DATA: world.config.dataDir })
  await eventually(
    async () => {
      const answer = await readyz(worker)
      expect(answer).toMatchObject({
        ...waiting,
        status: 'degraded',
        parts: { jobs: 'degraded', consumers: 'degraded' },
      })
      const { blocks, bsize } = await statfs(join(world.config.dataDir, 'files'))
      expect(answer.files.disk!.totalBytes).toBe(blocks * bsize)
      expect(answer.files.disk!.freeBytes).toBeGreaterThan(0)
      expect(answer.files.disk!.freeBytes).toBeLessThan(blocks * bsize)
    },
    { timeoutMs: 20_000 },
  )

  const lines = (await worker.output())
    .split('\n')
    .filter((line) => line.includes('deliveries or entries failed'))
  expect(lines).toHaveLength(1)
  expect(JSON.parse(lines[0]!)).toMatchObject({
    level: 'warn',
    ...waiting,
    files: { ...waiting.files, disk: { totalBytes: expect.any(Number), freeBytes: expect.any(Number) } },
  })

  const metrics = (await (await fetch(`${worker.url}/metrics`)).text()).split('\n')
  expect(metrics).toEqual(
    expect.arrayContaining([
      'tasktide_deliveries{kind="files.delete",state="failed"} 1',
      'tasktide_deliveries{kind="files.delete",state="open"} 0',
      'tasktide_deliveries{kind="mail.verification",state="open"} 2',
      'tasktide_deliveries{kind="files.verify",state="open"} 0',
      'tasktide_dead_letters 2',
      'tasktide_files{kind="attachment"} 3',
      'tasktide_files{kind="avatar"} 2',
      'tasktide_files_bytes 1000320',
      'tasktide_files_missing 1',
      'tasktide_files_deletions 1',
    ]),
  )
  const valueOf = (series: string) =>
    Number(metrics.find((line) => line.startsWith(`${series} `))!.split(' ')[1])
  expect(valueOf('tasktide_deliveries_oldest_seconds{kind="mail.verification"}')).toBeGreaterThanOrEqual(
    7_200,
  )
  expect(valueOf('tasktide_files_disk_bytes{state="free"}')).toBeGreaterThan(0)
  expect(metrics.filter((line) => line.includes('newer'))).toEqual([])
}, 60_000)

test('with an object store it reports no disk', async () => {
  await using server = await startS3Server()
  await using worker = await start({ TIDE_DATA: world.config.dataDir, ...server.environment() })
  await eventually(async () => expect(await readyz(worker)).toMatchObject(waiting), { timeoutMs: 20_000 })
  expect((await readyz(worker)).files.disk).toBeNull()
  const metrics = await (await fetch(`${worker.url}/metrics`)).text()
  expect(metrics).toContain('tasktide_files_bytes 1000320')
  expect(metrics).not.toContain('tasktide_files_disk_bytes{')
}, 60_000)

test('however often it is asked for, it is read once', async () => {
  const { db } = world.server.deps
  let reads = 0
  const counting: Pick<typeof db, 'read'> = {
    read(work, options) {
      reads += 1
      return db.read(work, options)
    },
  }
  const storage = diskStorage(join(world.config.dataDir, 'files'))
  const probe = new WorkloadProbe({ db: counting, tailDb: counting, storage })
  expect(probe.last).toBeNull()
  await Promise.all(Array.from({ length: 100 }, () => probe.readWhole()))
  const workload = await probe.read()
  expect(reads).toBe(2)
  expect(workload).toMatchObject(waiting)
  expect(probe.last).toEqual(workload)
})

test('it is logged every minute while something waits, else at the start and once an hour', async () => {
  const probe = new WorkloadProbe({
    db: world.server.deps.db,
    tailDb: world.server.deps.db,
    storage: diskStorage(join(world.config.dataDir, 'files')),
  })
  const failed = (await probe.readWhole())!
  const idle: Workload = {
    deadLetters: 0,
    deliveries: [],
    files: { ...failed.files, missing: 0, deletions: 0 },
  }
  const busy: Workload = { ...idle, files: { ...idle.files, deletions: 3 } }
  const runs = async (workloads: (Workload | null)[]): Promise<[number, string][]> => {
    const lines: [number, string][] = []
    let run = 0
    const note = (level: string) => (_fields: object, message: string) =>
      void lines.push([run, `${level}: ${message}`])
    const work = workloadLogging(
      { readWhole: async () => workloads[run]! },
      { info: note('info'), warn: note('warn') },
    )
    for (; run < workloads.length; run += 1) await work()
    return lines
  }
  const minutes = (count: number): Workload[] => Array.from({ length: count }, () => idle)
  expect(await runs(minutes(122))).toEqual([0, 60, 120].map((run) => [run, 'info: nothing waits']))
  expect(await runs([busy, null, busy, failed, idle, idle])).toEqual([
    [0, 'info: deliveries wait'],
    [2, 'info: deliveries wait'],
    [3, 'warn: deliveries or entries failed, or files are missing'],
    [4, 'info: nothing waits'],
  ])
  const letters: Workload = { ...idle, deadLetters: 1 }
  expect((await runs([letters]))[0]![1]).toStartWith('warn')
})
