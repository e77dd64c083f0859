// What one append writes: numbers, versions, frames, quiet entries. Concurrent appends to several shards never
// deadlock.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { shardOf, type Scope } from '../../src/model/scope.ts'
import { append } from '../../src/db/log/append.ts'
import { ensureEpoch } from '../../src/db/log/epochs.ts'
import { readHeads, readScopeFrames, readShard } from '../../src/db/log/feed.ts'
import { formatCursor, maxFrameBytes, type Entry } from '../../src/model/event.ts'
import { seed, randomOf } from './seed.ts'
import { commit, entryOf, openWorld, scopeOf, type World } from './world.ts'

let world: World

beforeAll(async () => {
  world = await openWorld()
})

afterAll(() => world[Symbol.asyncDispose]())

test('entries are numbered in the order given, each scope in its own shard, and the frame has the same values', async () => {
  const before = await world.db.read(readHeads)
  const [one, other] = [scopeOf(1), scopeOf(2)]
  const { epoch, entries } = await commit(world.db, [entryOf(one, 7), entryOf(other, 3), entryOf(one, 8)])
  expect(epoch).toBe(before.epoch)
  const versionsOf = (scope: Scope) =>
    entries.filter((entry) => entry.scope === scope).map(({ version }) => version)
  expect([versionsOf(one), versionsOf(other)]).toEqual([[7, 8], [3]])
  for (const entry of entries) {
    expect(entry.shard).toBe(shardOf(entry.scope))
    expect(entry.seq).toBeGreaterThan(before.seqs[entry.shard]!)
    expect(JSON.parse(entry.frame!)).toEqual({
      t: 'event',
      scope: entry.scope,
      cursor: formatCursor({ epoch, shard: entry.shard, seq: entry.seq }),
      version: entry.version,
      at: entry.at,
      type: 'task.updated',
      id: entry.entityId,
      data: { title: 'Tide' },
      actor: null,
    })
  }
})

test('appended entries are read back unchanged, by shard and by scope', async () => {
  const scope = scopeOf(3)
  const control = { kind: 'revoke', userId: Bun.randomUUIDv7() } as const
  const entry: Entry = {
    ...entryOf(scope, 4, { title: 'ß “日本” 🌊 \u2028' }),
    actorId: Bun.randomUUIDv7(),
    changed: ['title'],
    changes: { title: { from: null, to: 'ß “日本” 🌊' } },
    control,
  }
  const { entries } = await world.db.transact((tx) => append(tx, [entry], { op: 'key-1' }))
  const [written] = entries
  const { shard, seq } = written!
  expect(await world.db.read((sql) => readShard(sql, shard, seq - 1, seq, 10))).toEqual(entries)
  const framed = entries.map(({ seq, scope, control, frame }) => ({ seq, scope, control, frame }))
  expect(await world.db.read((sql) => readScopeFrames(sql, scope, seq - 1, seq, 10))).toEqual(framed)
  expect(written).toMatchObject({ op: 'key-1', control, changes: entry.changes!, quiet: false })
  // eslint-disable-next-line no-control-regex -- the range is ASCII itself
  expect(written!.frame).toMatch(/^[\x20-\x7e]*$/)
  expect(JSON.parse(written!.frame!)).toMatchObject({ data: entry.data, changed: ['title'], op: 'key-1' })
})

test('an entry without a version carries its number', async () => {
  const { version: _, ...bare } = entryOf(scopeOf(4))
  const { entries } = await commit(world.db, [bare])
  expect(entries[0]!.version).toBe(entries[0]!.seq)
})

test('a control entry without content for clients has no frame', async () => {
  const { entries } = await commit(world.db, [
    { scope: scopeOf(4), type: 'control', id: null, actorId: null, control: { kind: 'role' } },
  ])
  expect(entries[0]).toMatchObject({ type: 'control', frame: null, control: { kind: 'role' } })
})

test('above 16 KiB the largest texts are left out of the frame and named', async () => {
  const data = { title: 'short', description: 'ü'.repeat(4_000), note: 'n'.repeat(3_000), rank: 'a0' }
  const { entries } = await commit(world.db, [entryOf(scopeOf(5), 1, data)])
  const frame = entries[0]!.frame!
  expect(frame.length).toBeLessThan(maxFrameBytes + 500)
  expect(JSON.parse(frame)).toMatchObject({
    omitted: ['description'],
    data: { title: 'short', note: data.note, rank: 'a0' },
  })
  expect(JSON.parse(frame).data.description).toBeUndefined()
})

test('200 entries of a scope all have frames; of 201 none has, and one scope.refetch follows', async () => {
  const scope = scopeOf(6)
  const loud = await commit(
    world.db,
    Array.from({ length: 200 }, () => entryOf(scope)),
  )
  expect(loud.entries.filter(({ frame }) => frame !== null)).toHaveLength(200)

  const bystander = scopeOf(7)
  const revoke: Entry = { scope, type: 'control', id: null, actorId: null, control: { kind: 'delete' } }
  const quiet = await commit(world.db, [
    ...Array.from({ length: 200 }, () => entryOf(scope)),
    revoke,
    entryOf(bystander),
  ])
  const own = quiet.entries.filter((entry) => entry.scope === scope)
  expect(own).toHaveLength(202)
  expect(
    own.filter((entry) => entry.quiet && entry.frame === null && entry.type === 'task.updated'),
  ).toHaveLength(200)
  expect(own.filter(({ control }) => control?.kind === 'delete')).toHaveLength(1)
  expect(own.at(-1)).toMatchObject({ type: 'scope.refetch', quiet: false })
  expect(JSON.parse(own.at(-1)!.frame!)).toMatchObject({ t: 'event', type: 'scope.refetch', id: null })
  expect(quiet.entries.find((entry) => entry.scope === bystander)!.frame).not.toBeNull()
})

test('a rollback leaves no gap', async () => {
  const scope = scopeOf(8)
  const first = await commit(world.db, [entryOf(scope)])
  const failed = world.db.transact(async (tx) => {
    await append(tx, [entryOf(scope), entryOf(scope)])
    throw new Error('changed my mind')
  })
  expect(failed).rejects.toThrow('changed my mind')
  await failed.catch(() => {})
  const second = await commit(world.db, [entryOf(scope)])
  expect(second.entries[0]!.seq).toBe(first.entries[0]!.seq + 1)
})

test('appends to many shards in any order never deadlock and never repeat', async () => {
  const random = randomOf(seed)
  const deadlocks = () =>
    world.db.read(async (sql) => {
      const [row] = await sql<{ deadlocks: number }[]>`
        select deadlocks from pg_stat_database where datname = current_database()`
      return row!.deadlocks
    })
  const before = await deadlocks()
  const ids: string[] = []
  const writer = async (): Promise<void> => {
    for (let round = 0; round < 25; round += 1) {
      const entries = Array.from({ length: 1 + Math.floor(random() * 6) }, () =>
        entryOf(scopeOf(Math.floor(random() * 500))),
      )
      ids.push(...entries.map(({ id }) => id!))
      await commit(world.db, entries)
    }
  }
  await Promise.all(Array.from({ length: 12 }, writer))
  expect(await deadlocks()).toBe(before)
  const [row] = await world.db.read(
    (sql) => sql<{ n: number }[]>`select count(*) as n from feed where entity_id = any(${ids})`,
  )
  expect(row!.n).toBe(ids.length)
})

test('heads of scopes hold the last number of each', async () => {
  const scope = scopeOf(9)
  const { entries } = await commit(world.db, [entryOf(scope), entryOf(scope)])
  const [head] = await world.db.read(
    (sql) => sql<{ seq: number }[]>`select seq from scope_head where scope = ${scope}`,
  )
  expect(head!.seq).toBe(entries.at(-1)!.seq)
})

test('a new epoch keeps the numbers; without a reason the epoch stays', async () => {
  const before = await world.db.read(readHeads)
  expect(await world.db.transact((tx) => ensureEpoch(tx))).toEqual({ epoch: before.epoch, renewed: false })
  const { epoch, renewed } = await world.db.transact((tx) => ensureEpoch(tx, true))
  expect(renewed).toBe(true)
  expect(epoch).not.toBe(before.epoch)
  expect(await world.db.read(readHeads)).toEqual({ epoch, seqs: before.seqs })
})
