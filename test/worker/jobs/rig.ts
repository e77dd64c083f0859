// Job runners of tests: the real engine on a database and a Redis, with processors that a test writes. Effects are rows of
// the table `effects`, which a processor inserts with the completion, so that a second effect would be a second row.
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDatabase, type Database } from '../../../src/db/client.ts'
import { insertDeliveries } from '../../../src/db/deliveries/deliveries.ts'
import { createPublisher } from '../../../src/changelog/publisher.ts'
import { createLog } from '../../../src/log.ts'
import { openMailer } from '../../../src/mail/open-mailer.ts'
import { openRedis } from '../../../src/redis/connection.ts'
import { diskStorage } from '../../../src/storage/disk.ts'
import { startJobs, type Jobs } from '../../../src/worker/jobs/runner.ts'
import type { Completion, JobContext, JobProcessor } from '../../../src/worker/jobs/processor.ts'
import { eventually } from '../../support/eventually.ts'
import { linkConfig } from '../rig.ts'

export interface JobRig {
  databaseUrl: string
  redisUrl: string
}

export type Act = (keys: string[], context: JobContext) => Promise<void>

/** Acts as the test says, and leaves one effect for each key with the completion. */
export const processorOf = (act: Act, label = 'here'): JobProcessor<'files.delete'> => ({
  kind: 'files.delete',
  async process(_deps, { keys }, context): Promise<Completion> {
    await act(keys, context)
    return async (tx) => {
      await tx`insert into effects (key, label) select key, ${label} from unnest(${keys}::text[]) as key`
      return []
    }
  },
})

export const openDb = (url: string, max = 4): Database =>
  openDatabase({ url, max, applicationName: 'test jobs', log: createLog('test', 'silent') })

export const createEffects = (db: Database): Promise<void> =>
  db.transact(async (tx) => {
    await tx`create table effects (key text not null, label text not null, at timestamptz not null default now())`
  })

/** A runner with connections of its own. */
export const openJobs = async (
  { databaseUrl, redisUrl }: JobRig,
  processors: readonly JobProcessor[],
): Promise<Jobs> => {
  const log = createLog('test', process.env['TEST_LOG'] ?? 'silent')
  await using stack = new AsyncDisposableStack()
  const db = stack.use(openDb(databaseUrl))
  const redis = stack.use(openRedis(redisUrl, 'request', log))
  const publisher = stack.use(createPublisher({ redis: redis.client, db, log }))
  await using storage = diskStorage(join(tmpdir(), 'tide-jobs-unused'))
  const mailFrom = 'tasks@example.com'
  const mailer = stack.use(openMailer({ smtpUrl: null, dataDir: tmpdir(), mailFrom }, log))
  const jobs = stack.use(
    startJobs({
      deps: { db, publisher, storage, mailer, config: linkConfig, log },
      processors,
      redis: redis.client,
      connect: () => openRedis(redisUrl, 'jobs', log),
    }),
  )
  const owned = stack.move()
  return {
    stats: jobs.stats,
    statsByQueue: jobs.statsByQueue,
    get running() {
      return jobs.running
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Inserts one delivery for each key. */
export const deliver = (db: Database, ...keys: string[]): Promise<string[]> =>
  db.transact((tx) =>
    insertDeliveries(
      tx,
      keys.map((key) => ({ kind: 'files.delete' as const, payload: { keys: [key] }, dedupeKey: key })),
    ),
  )

export const effectsOf = async (db: Database): Promise<string[]> => {
  const rows = await db.read((sql) => sql<{ key: string }[]>`select key from effects order by key`)
  return rows.map(({ key }) => key)
}

export interface DeliveryRow {
  state: string
  attempts: number
  fence: number
  dueInMs: number
  lastError: string | null
}

export const deliveryOf = async (db: Database, dedupeKey: string): Promise<DeliveryRow> => {
  const [row] = await db.read(
    (sql) => sql<DeliveryRow[]>`
      select state, attempts, fence, last_error as "lastError",
        (extract(epoch from next_at - now()) * 1000)::float8 as "dueInMs"
      from deliveries where dedupe_key = ${dedupeKey}`,
  )
  if (!row) throw new Error(`no delivery ${dedupeKey}`)
  return row
}

/** Resolves when all deliveries have ended; the deadline starts again whenever one does. */
export const settled = async (db: Database, timeoutMs = 20_000): Promise<void> => {
  let left = 0
  await eventually(
    async () => {
      const open = await db.read(
        (sql) => sql<{ key: string; state: string }[]>`
          select dedupe_key as key, state from deliveries where state not in ('done', 'failed')`,
      )
      left = open.length
      if (left > 0) throw new Error(`${left} open, the first ${JSON.stringify(open[0])}`)
    },
    { timeoutMs, everyMs: 50, progress: () => left },
  )
}
