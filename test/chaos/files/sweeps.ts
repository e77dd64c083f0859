// Sweeps by the workers, beside uploads and deletions. Each looks at objects that no row names, old and young, and at a row
// whose object is away, and must list the old ones, leave the young ones, and flag the row until its object is back.
import { insertDeliveries } from '../../../src/db/deliveries/deliveries.ts'
import { eventually } from '../../support/eventually.ts'
import type { FilesArena, FilesFault } from './files-arena.ts'
import { killAt } from '../kill-at.ts'
import { sweepPoints } from './points.ts'
import type { StorageMode } from './storage-proxy.ts'

/** A sweep whose worker died is begun again when its lease has ended; one that failed, after 10 s and longer. */
const sweptWithinMs = 120_000

const requestSweep = async ({ db }: FilesArena): Promise<string> => {
  const [id] = await db.transact((tx) =>
    insertDeliveries(tx, [
      {
        kind: 'files.sweep',
        payload: { isDryRun: false },
        dedupeKey: `files.sweep:${crypto.randomUUID()}`,
      },
    ]),
  )
  return id!
}

const untilSwept = async ({ db }: FilesArena, id: string): Promise<void> => {
  const look = async (): Promise<void> => {
    const [row] = await db.read(
      (sql) => sql<{ state: string }[]>`select state from deliveries where id = ${id}`,
    )
    if (row?.state !== 'done') throw new Error(`a sweep is ${row?.state}`)
  }
  await eventually(look, { timeoutMs: sweptWithinMs, everyMs: 100 })
}

/** @returns whether a worker was killed at the point. */
const sweepKilledAt = async (arena: FilesArena, point: string): Promise<boolean> => {
  const [victim, other] = [arena.cluster.workers[0]!, arena.cluster.workers[1]!]
  let id = ''
  let isReached = false
  // Alone: the other one would take the sweep as often.
  await arena.down(other, () =>
    arena.down(victim, async () => {
      await Promise.all([victim.kill(), other.kill()])
      isReached = await killAt(arena, victim, { point }, async () => {
        id = await requestSweep(arena)
      })
      await Promise.all([victim.start(), other.start()])
    }),
  )
  if (id !== '') await untilSwept(arena, id)
  return isReached
}

/** An attachment that nothing else removes, two days old. */
const oldAttachment = async ({ client, db }: FilesArena): Promise<{ id: string; key: string }> => {
  const acknowledged = <T>(work: () => Promise<T | null>): Promise<T> =>
    eventually(
      async () => {
        const answer = await work()
        if (answer === null) throw new Error('a request of the sweep is not acknowledged')
        return answer
      },
      { timeoutMs: 60_000, everyMs: 100 },
    )
  const project = await acknowledged(() => client.ask('POST', '/api/projects', { name: 'Swept' }))
  const task = await acknowledged(() =>
    client.ask('POST', '/api/tasks', { projectId: project.id, title: 'Swept' }),
  )
  const id = await acknowledged(() => client.upload(task.id))
  const [row] = await db.transact(
    (tx) => tx<{ key: string }[]>`
      update attachments set created_at = now() - interval '2 days' where id = ${id} returning storage_key as key`,
  )
  return { id, key: row!.key }
}

const isFlagged = async ({ db }: FilesArena, id: string): Promise<boolean> => {
  const rows = await db.read(
    (sql) => sql`select from attachments where id = ${id} and missing_since is not null`,
  )
  return rows.length > 0
}

const plant = async ({ storage }: FilesArena, age: 'aged-' | '', count = 2): Promise<string[]> => {
  const keys = Array.from({ length: count }, () => `attachments/2026-01/${age}${crypto.randomUUID()}`)
  for (const key of keys) await storage.put(key, new TextEncoder().encode('without a row'))
  return keys
}

/** @returns those of the keys that are neither deleted nor listed for it. */
const unlisted = async ({ db, storage }: FilesArena, keys: readonly string[]): Promise<string[]> => {
  const rows = await db.read(
    (sql) => sql<{ key: string }[]>`select key from file_deletions where key = any(${[...keys]}::text[])`,
  )
  const listed = new Set(rows.map(({ key }) => key))
  const left: string[] = []
  for (const key of keys) if (!listed.has(key) && (await storage.head(key))) left.push(key)
  return left
}

/** @param sweep runs one sweep; @returns what it returned. */
const sweepRound = async <T>(arena: FilesArena, sweep: () => Promise<T>): Promise<T> => {
  const { storage, counts } = arena
  const { id, key } = await oldAttachment(arena)
  const bytes = await new Response((await storage.get(key))!.body).bytes()
  const [aged, young] = [await plant(arena, 'aged-'), await plant(arena, '')]
  await storage.delete(key)
  const result = await sweep()
  counts.unswept += (await unlisted(arena, aged)).length
  if (!(await isFlagged(arena, id))) counts.misflagged += 1
  await storage.put(key, bytes)
  await untilSwept(arena, await requestSweep(arena))
  if (await isFlagged(arena, id)) counts.misflagged += 1
  counts.touched += young.length - (await unlisted(arena, young)).length
  for (const one of young) await storage.delete(one)
  return result
}

export const sweepsRacing: FilesFault = {
  name: 'sweeps-racing',
  title: 'sweeps of the workers beside uploads and deletions, with a store that fails in between',
  async disturb(arena, signal) {
    const modes: StorageMode[] = ['healthy', 'losing', 'slow']
    let injected = 0
    for (; !signal.aborted || injected === 0; injected += 1)
      await sweepRound(arena, async () => {
        arena.store.mode = modes[injected % modes.length]!
        await untilSwept(arena, await requestSweep(arena))
        arena.store.mode = 'healthy'
      })
    return injected
  },
}

const sweepsKilledAt = (points: readonly string[]): Pick<FilesFault, 'disturb'> => ({
  async disturb(arena) {
    const reached: string[] = []
    for (const point of points)
      if (await sweepRound(arena, () => sweepKilledAt(arena, point))) reached.push(point)
    const left = points.filter((point) => !reached.includes(point))
    arena.notes.push(`killed at ${reached.join(', ')}`)
    if (left.length > 0) arena.violations.push(`never reached: ${left.join(', ')}`)
    return reached.length
  },
})

export const sweepsKilled: FilesFault = {
  name: 'sweeps-killed',
  title: 'kill -9 of a worker at each point of a sweep, which lists objects and flags rows',
  ...sweepsKilledAt([...sweepPoints, 'job-acted', 'job-committed']),
}

/** For a control. */
export const sweepKilledWhenDone: FilesFault = {
  name: 'sweep-killed-at',
  title: 'kill -9 of a worker when the job of a sweep is done',
  ...sweepsKilledAt(['job-committed']),
}
