// Normalises the text of rows that a previous version wrote, while servers of both versions write. Invariant: a step is
// one transaction of at most `batchSize` rows, and so of at most as many entries of one scope as sockets receive
// individually; a step that rolled back runs again, a repeated one finds nothing to do.
import { tryLockLoop } from '../../db/leases.ts'
import {
  examineProjects,
  examineUsers,
  selectNamesWithoutKey,
  updateNameKeys,
  type Examined,
} from '../../db/tasks/text-form.ts'
import type { Database, Queryable, Tx } from '../../db/client.ts'
import { normaliseProject, normaliseUser, type Normalised } from '../../domain/users/normalise-names.ts'
import { backfillTaskWords, type BackfilledTasks } from '../../domain/tasks/task-words.ts'
import { systemWrite, write, type UnclaimedEffect, type WriteDeps } from '../../domain/write.ts'
import type { Log } from '../../log.ts'
import { nilId } from '../../model/scalar.ts'

const batchSize = 200

export interface TextFormDeps extends WriteDeps {
  db: Database
  log: Log
  signal: AbortSignal
}

/**
 * Adds search words to every task that lacks them and normalises its text, or returns early: another worker has the
 * lock. Logs and returns the counts.
 */
export const normaliseTasks = async (deps: TextFormDeps): Promise<BackfilledTasks> => {
  const done: BackfilledTasks = { tasks: 0, changed: 0, mergedTags: 0 }
  while (!deps.signal.aborted) {
    const { value: step } = await write(deps, systemWrite, async (tx) =>
      (await tryLockLoop(tx, 'text'))
        ? backfillTaskWords(tx, batchSize)
        : { value: { tasks: 0, changed: 0, mergedTags: 0 }, entries: [] },
    )
    if (step.tasks === 0) break
    done.tasks += step.tasks
    done.changed += step.changed
    done.mergedTags += step.mergedTags
  }
  if (done.tasks > 0) deps.log.info(done, 'search words added to tasks of a previous version')
  return done
}

export interface NormalisedNames {
  users: number
  projects: number
  /** Accounts whose normalised address belongs to another account: left unchanged, an administrator decides. */
  collidingUsers: string[]
}

/** Rows read by one statement. */
const pageSize = 5_000

/** Stores the keys of names that a previous version wrote, by which people are searched. */
export const foldNames = async (deps: TextFormDeps): Promise<number> => {
  let folded = 0
  for (let after: string | undefined = nilId; after !== undefined && !deps.signal.aborted;) {
    const from: string = after
    const rows = await deps.db.read((sql) => selectNamesWithoutKey(sql, from, batchSize))
    if (rows.length > 0)
      await write(deps, systemWrite, async (tx) => ({
        value: await updateNameKeys(tx, rows),
        entries: [],
      }))
    folded += rows.length
    after = rows.length === batchSize ? rows.at(-1)!.id : undefined
  }
  if (folded > 0) deps.log.info({ folded }, 'names of a previous version folded for the search')
  return folded
}

/** Examines each account and project once, by ascending id. Logs counts and ids, never addresses. */
export const normaliseNames = async (deps: TextFormDeps): Promise<NormalisedNames> => {
  const done: NormalisedNames = { users: 0, projects: 0, collidingUsers: [] }
  await walk(deps, examineUsers, normaliseUser, (id, brought) => {
    if (brought === 'changed') done.users += 1
    if (brought === 'collides') done.collidingUsers.push(id)
  })
  await walk(deps, examineProjects, normaliseProject, (_id, brought) => {
    if (brought === 'changed') done.projects += 1
  })
  if (done.users + done.projects > 0)
    deps.log.info({ users: done.users, projects: done.projects }, 'names of a previous version normalised')
  if (done.collidingUsers.length > 0)
    deps.log.warn(
      { userIds: done.collidingUsers },
      'these accounts have the address of another account in a different Unicode form: change one address of each pair',
    )
  return done
}

const walk = async (
  deps: TextFormDeps,
  examine: (sql: Queryable, after: string, limit: number) => Promise<Examined[]>,
  bring: (tx: Tx, id: string) => Promise<UnclaimedEffect<Normalised>>,
  note: (id: string, brought: Normalised) => void,
): Promise<void> => {
  for (let after: string | undefined = nilId; after !== undefined && !deps.signal.aborted;) {
    const from: string = after
    const rows = await deps.db.read((sql) => examine(sql, from, pageSize))
    for (const { id, isNormal } of rows) {
      if (isNormal || deps.signal.aborted) continue
      const { value } = await write(deps, systemWrite, (tx) => bring(tx, id))
      note(id, value)
    }
    after = rows.length === pageSize ? rows.at(-1)!.id : undefined
  }
}
