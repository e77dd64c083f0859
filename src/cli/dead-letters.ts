// `tail --dead`: lists what consumers gave up on, and handles entries of it again. Works while servers and workers run, and
// while none does.
import { openWriter } from '../app/compose-writer.ts'
import { readConfig } from '../config.ts'
import { openDatabase } from '../db/client.ts'
import { selectDeadLetters } from '../db/log/dead-letters.ts'
import { checkDatabase } from '../db/server-check.ts'
import { requeueDeadLetter, type Requeued } from '../domain/dead-letters.ts'
import { isTransient, messageOf } from '../errors.ts'
import { createLog } from '../log.ts'
import { systemActor } from '../model/actor.ts'
import type { DeadLetterId } from '../model/dead-letter-id.ts'
import { consumers } from '../worker/all-consumers.ts'

type Environment = Record<string, string | undefined>

const nameOf = ({ consumer, shard, seq }: DeadLetterId): string => `${consumer}/${shard}.${seq}`

/** @returns 0. */
export const listDeadLetters = async (environment: Environment, isJson: boolean): Promise<number> => {
  const { databaseUrl: url, logLevel } = readConfig(environment, ['databaseUrl', 'logLevel'])
  const log = createLog('tail', logLevel)
  await checkDatabase({ url, log, migrations: 'current' })
  await using db = openDatabase({ url, max: 1, applicationName: 'tasktide tail', log })
  const letters = await db.read(selectDeadLetters)
  for (const letter of letters) {
    const { failedAt, consumer, shard, seq, type, attempts, error } = letter
    console.log(
      isJson
        ? JSON.stringify(letter)
        : `${failedAt} ${consumer} ${shard}.${seq} ${type} after ${attempts} attempts: ${JSON.stringify(error)}`,
    )
  }
  console.error(
    letters.length === 0 ? 'No dead letters.' : 'Handle one again with --requeue <consumer>/<shard>.<seq>.',
  )
  return 0
}

/** @returns 0 where all were requeued, 1 where one is missing or failed again. */
export const requeueDeadLetters = async (
  environment: Environment,
  letters: readonly DeadLetterId[],
  isJson: boolean,
): Promise<number> => {
  const config = readConfig(environment, ['databaseUrl', 'redisUrl', 'logLevel'])
  await using writer = await openWriter(config, createLog('tail', config.logLevel))
  let code = 0
  for (const letter of letters) {
    const requeued = await requeueOne({ ...writer, consumers }, letter)
    if (requeued.outcome !== 'requeued') code = 1
    console.log(isJson ? JSON.stringify({ ...letter, ...requeued }) : `${nameOf(letter)} ${textOf(requeued)}`)
  }
  return code
}

const requeueOne = async (
  deps: Parameters<typeof requeueDeadLetter>[0],
  letter: DeadLetterId,
): Promise<Requeued> => {
  try {
    return await requeueDeadLetter(deps, letter, systemActor)
  } catch (error) {
    if (!isTransient(error)) throw error
    return { outcome: 'failed', error: messageOf(error.cause ?? error) }
  }
}

const texts = {
  requeued: 'was handled.',
  missing: 'is no dead letter; --dead lists them.',
  unknown: 'has a consumer that this version does not have.',
}

const textOf = (requeued: Requeued): string =>
  requeued.outcome === 'failed' ? `failed: ${requeued.error}` : texts[requeued.outcome]
