// What a soak must not have done: lose, repeat, leak or drift anything, leave objects, log errors.
import type { Database } from '../../src/db/client.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { checkLog, checkShown, checkTasks } from '../oracle/compare.ts'
import { driftOf } from '../oracle/drift.ts'
import { countMails } from '../oracle/mails.ts'
import { checkNotices } from '../oracle/notices.ts'
import { selectStoryTasks } from '../oracle/rows.ts'
import type { Cluster } from '../support/cluster.ts'
import type { TestSmtp } from '../support/smtp.ts'
import type { Phase } from './scene.ts'

export interface SoakChecks {
  counts: Record<string, number>
  violations: string[]
}

export const checkSoak = async (
  phase: Phase,
  {
    db,
    retries,
    smtp,
    storage,
    cluster,
    drifts,
  }: {
    db: Database
    /** Requests that had to be repeated. */
    retries: number
    smtp: TestSmtp
    storage: Storage
    cluster: Cluster
    /** Found while the load ran. */
    drifts: number
  },
): Promise<SoakChecks> => {
  const { ledger, followers, notices, load, traffic, projects } = phase
  const ids = new Set(ledger.ops.keys())
  const rows = new Map([...(await selectStoryTasks(db))].filter(([, task]) => ids.has(task.projectId)))
  const notReceived = followers.flatMap(({ projectId, ops, person }) =>
    (ledger.ops.get(projectId) ?? [])
      .filter((op) => !ops.has(op))
      .map((op) => `person ${person.number} never received ${op}`),
  )
  const found = await checkNotices(db, notices)
  const people = [...new Set(notices.expected.map((line) => line.split(' ')[2]!))]
  const mails = await countMails(db, smtp, people)
  const faultsOf = (...kinds: string[]): string[] =>
    followers.flatMap(({ faults }) =>
      faults.filter(({ kind }) => kinds.includes(kind)).map(({ text }) => text),
    )
  const { withoutRow, withoutObject } = await compareFiles(db, storage)
  const kinds: Record<string, string[]> = {
    'acknowledged writes missing': checkTasks(ledger, rows),
    'entries missing at sockets': [
      ...notReceived,
      ...followers.flatMap((follower) => checkShown(follower, rows)),
      ...faultsOf('lost'),
    ],
    'entries repeated, reordered or leaked': faultsOf('repeated', 'reordered', 'leaked'),
    'log not contiguous': await checkLog(db),
    'notifications missing': found.missing,
    'notifications repeated': found.repeated,
    'mails missing': Array.from({ length: mails.missing }, () => 'a delivery without its mail'),
    'mails repeated': Array.from({ length: mails.repeated }, () => 'a mail with a Message-ID sent before'),
    'statistics drifted': Array.from({ length: drifts + (await driftOf(db, projects)) }, () => 'a project'),
    'objects without row': withoutRow,
    'rows without object': withoutObject,
    errors: [
      ...load.errors,
      ...traffic.faults,
      ...notices.faults,
      ...faultsOf('refused'),
      ...(await cluster.errorsLogged()),
      ...Array.from({ length: retries }, () => 'a request that had to be repeated'),
    ],
  }
  return {
    counts: {
      writes: ledger.writes,
      ...load.counts,
      events: sum(followers, ({ counts }) => counts.events),
      drops: sum(followers, ({ counts }) => counts.drops),
      resyncs: sum(followers, ({ counts }) => counts.resyncs),
      notifications: notices.expected.length,
      mails: mails.sent,
      ...Object.fromEntries(Object.entries(kinds).map(([name, lines]) => [name, lines.length])),
    },
    violations: Object.entries(kinds).flatMap(([name, lines]) =>
      lines.length === 0 ? [] : [`${name}: ${lines.length}, for example ${lines[0]!.slice(0, 300)}`],
    ),
  }
}

/** Keys of objects that no row names, and of attachments whose object is not there. */
const compareFiles = async (
  db: Database,
  storage: Storage,
): Promise<{ withoutRow: string[]; withoutObject: string[] }> => {
  const stored = new Set((await Array.fromAsync(storage.list('attachments/'))).map(({ key }) => key))
  const keysOf = (rows: { key: string }[]): string[] => rows.map(({ key }) => key)
  const shown = await db.read(
    (sql) => sql<{ key: string }[]>`select storage_key as key from attachments where state = 'ready'`,
  )
  const owned = await db.read(
    (sql) => sql<{ key: string }[]>`
      select unnest(array[storage_key, upload_key]) as key from attachments union select key from file_deletions`,
  )
  const named = new Set(keysOf(owned))
  return {
    withoutRow: [...stored].filter((key) => !named.has(key)),
    withoutObject: keysOf(shown).filter((key) => !stored.has(key)),
  }
}

const sum = <T>(all: readonly T[], of: (one: T) => number): number =>
  all.reduce((total, one) => total + of(one), 0)
