// Numbers in commit order. The same concurrent transactions, with pauses at every point, aborts and several scopes,
// run over two logs while a reader polls: ours, and the obvious mutant (a bigserial id, polled). The comparison must
// find no error in the first and lost entries in the second.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { shardCount } from '../../src/model/scope.ts'
import type { Tx } from '../../src/db/client.ts'
import { append } from '../../src/db/log/append.ts'
import { readHeads, readShard } from '../../src/db/log/feed.ts'
import { findErrors, noErrors, type EntryKey } from './received-entries.ts'
import { randomOf, seed } from './seed.ts'
import { entryOf, openWorld, readWholeLog, scopeOf, type World } from './world.ts'

const writers = 10
const transactionsEach = 40
const entities = 12

interface Line extends EntryKey {
  version: number
}

/** A log under test. */
interface Subject {
  append(tx: Tx, changes: { entity: number; version: number }[]): Promise<void>
  /** The entries since the last call. */
  poll(): Promise<Line[]>
  all(): Promise<EntryKey[]>
}

let world: World

beforeAll(async () => {
  world = await openWorld()
  await world.db.transact(async (tx) => {
    await tx`create table entities (n integer primary key, version integer not null)`
    await tx`create table mutant (id bigserial primary key, entity_id text not null, version integer not null)`
  })
})

afterAll(() => world[Symbol.asyncDispose]())

const ours = async (): Promise<Subject> => {
  const positions = (await world.db.read(readHeads)).seqs
  return {
    async append(tx, changes) {
      await append(
        tx,
        changes.map(({ entity, version }) => ({
          ...entryOf(scopeOf(entity), version),
          id: idOf(entity, version),
        })),
      )
    },
    async poll() {
      const pages = await Promise.all(
        positions.map((after, shard) => world.tailDb.read((sql) => readShard(sql, shard, after, 1e9, 100))),
      )
      for (const [shard, page] of pages.entries()) positions[shard] = page.at(-1)?.seq ?? positions[shard]!
      return pages.flat()
    },
    all: () => readWholeLog(world.db),
  }
}

const mutant = (): Subject => {
  let last = 0
  return {
    async append(tx, changes) {
      for (const { entity, version } of changes) {
        await tx`insert into mutant (entity_id, version) values (${idOf(entity, version)}, ${version})`
      }
    },
    async poll() {
      const lines = await world.tailDb.read(
        (sql) => sql<Line[]>`
          select 0 as shard, id as seq, entity_id as "entityId", version from mutant where id > ${last} order by id`,
      )
      last = lines.at(-1)?.seq ?? last
      return [...lines]
    },
    all: () =>
      world.db.read(async (sql) => [
        ...(await sql<EntryKey[]>`select 0 as shard, id as seq, entity_id as "entityId" from mutant`),
      ]),
  }
}

/** An id that contains the number and the version of its entity. */
const idOf = (entity: number, version: number): string =>
  `00000000-0000-7000-${(8000 + entity).toString()}-${String(version).padStart(12, '0')}`

const runConcurrently = async (subject: Subject): Promise<{ received: Line[]; aborted: number }> => {
  const random = randomOf(seed)
  const pauseSeconds = () => (random() < 0.5 ? 0 : random() * 0.015)
  await world.db.transact(async (tx) => {
    await tx`truncate entities`
    await tx`insert into entities select n, 0 from generate_series(0, ${entities - 1}) as n`
  })
  let aborted = 0
  const write = async (): Promise<void> => {
    const touched = Array.from({ length: 1 + Math.floor(random() * 3) }, () =>
      Math.floor(random() * entities),
    )
    const ordered = [...new Set(touched)].sort((a, b) => a - b) // rows are locked by ascending id
    const [before, after, abort] = [pauseSeconds(), pauseSeconds(), random() < 0.2]
    await world.db.transact(async (tx) => {
      const changes: { entity: number; version: number }[] = []
      for (const entity of ordered) {
        const [row] = await tx<{ version: number }[]>`
          update entities set version = version + 1 where n = ${entity} returning version`
        changes.push({ entity, version: row!.version })
      }
      await tx`select pg_sleep(${before})`
      await subject.append(tx, changes)
      await tx`select pg_sleep(${after})`
      if (abort) throw new Abort()
    })
  }
  const writer = async (): Promise<void> => {
    for (let n = 0; n < transactionsEach; n += 1) {
      await write().catch((error: unknown) => {
        if (!(error instanceof Abort)) throw error
        aborted += 1
      })
    }
  }
  const received: Line[] = []
  const over = new AbortController()
  const reader = async (): Promise<void> => {
    while (!over.signal.aborted) received.push(...(await subject.poll()))
  }
  const reading = reader()
  await Promise.all(Array.from({ length: writers }, writer))
  over.abort()
  await reading
  received.push(...(await subject.poll()))
  return { received, aborted }
}

class Abort extends Error {}

test('within a shard numbers are contiguous, in commit order, with rising versions; nothing polled is lost (P-EVT-5)', async () => {
  const { received, aborted } = await runConcurrently(await ours())
  expect(aborted).toBeGreaterThan(10)
  expect(received.length).toBeGreaterThan(writers * transactionsEach * 0.5)
  expect(findErrors(received, await readWholeLog(world.db))).toEqual(noErrors)
  const shards = Map.groupBy(received, ({ shard }) => shard)
  expect(shards.size).toBeGreaterThan(shardCount / 4)
  for (const lines of shards.values()) expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, n) => n + 1))
  for (const lines of Map.groupBy(received, ({ entityId }) => entityId!.slice(0, 23)).values()) {
    const versions = lines.map(({ version }) => version)
    expect(versions).toEqual(versions.map((_, n) => n + 1)) // an aborted version is given to the next
  }
}, 30_000)

test('negative control: the same transactions over a polled bigserial lose entries, and the comparison finds it', async () => {
  const subject = mutant()
  const { received } = await runConcurrently(subject)
  expect(findErrors(received, await subject.all()).lost).toBeGreaterThan(0)
}, 30_000)
