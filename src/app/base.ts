// What the roles have in common: the checks before anything is opened, the connections, and the state of the log. Invariant:
// imports nothing of one role alone, because each role loads what it imports before it answers.
import type { Config } from '../config.ts'
import { openDatabase, type Database } from '../db/client.ts'
import { namesNoObject } from '../db/files/sweep.ts'
import { ensureEpoch } from '../db/log/epochs.ts'
import { createComingPartitions } from '../db/log/partitions.ts'
import { checkDatabase } from '../db/server-check.ts'
import { traced } from '../db/traced.ts'
import { refuseDemoAccounts } from '../domain/users/demo-accounts.ts'
import { createPasswords } from '../auth/passwords.ts'
import { checkRedis } from '../redis/redis-check.ts'
import { openRedis } from '../redis/connection.ts'
import { openStorage } from '../storage/open.ts'
import type { Log } from '../log.ts'
import { installConsumers } from '../worker/all-consumers.ts'

/** A role that runs until it is disposed. */
export interface Running extends AsyncDisposable {
  url: string
  port: number
  /** The port of the internal server of a server process; null where it has none. */
  internalPort?: number | null
  /** Of a parent of processes: lets them write what they hold back of their output. */
  announced?: () => void
}

/**
 * Checks what every role requires of PostgreSQL and Redis before it opens anything.
 * @throws StartFailure
 */
export const checkParts = async (
  { databaseUrl, redisUrl }: Pick<Config, 'databaseUrl' | 'redisUrl'>,
  log: Log,
): Promise<void> => {
  await checkDatabase({ url: databaseUrl, log, migrations: 'current' })
  await checkRedis(redisUrl, log)
}

/** The parts that servers and workers have in common. */
export const openBase = async (stack: AsyncDisposableStack, config: Config, log: Log, role: string) => {
  await checkParts(config, log)
  const untraced = stack.use(
    openDatabase({
      url: config.databaseUrl,
      max: config.databasePool,
      callsPerCaller: config.databaseCallsPerUser,
      applicationName: `tasktide ${role}`,
      log,
    }),
  )
  const db = config.otlpEndpoint === null ? untraced : traced(untraced)
  // Connections of its own: confirmations of positions must not wait behind requests.
  const tailDb = stack.use(
    openDatabase({ url: config.databaseUrl, max: 3, applicationName: `tasktide ${role} tail`, log }),
  )
  const redis = stack.use(openRedis(config.redisUrl, 'request', log))
  const storage = stack.use(await openStorage(config, log, () => db.read(namesNoObject)))
  // A bucket logs why it cannot be used; a start does not wait for it.
  if (storage.kind === 's3') void storage.health()
  if (config.env === 'production') await refuseDemoAccounts({ db, passwords: createPasswords(1) })
  await prepareLog(db, log)
  return { db, tailDb, redis, storage, connect: () => openRedis(config.redisUrl, 'blocking', log) }
}

/**
 * Checks the epoch, creates the partitions of the next days, and installs the positions of consumers, so that they miss
 * no entry that is appended before the first worker runs.
 */
const prepareLog = async (db: Database, log: Log): Promise<void> => {
  const { epoch, renewed } = await db.transact((tx) => ensureEpoch(tx))
  if (renewed)
    log.error(
      { epoch },
      'the database cluster is not the one the log was written on: clients read their snapshots again',
    )
  if (!(await createComingPartitions(db)))
    log.warn('daily partitions of the log are missing and could not be created now, a worker tries again')
  await installConsumers(db)
}
