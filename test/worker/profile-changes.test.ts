// Profile changes move from the previous version's consumer `notifications` to `profile-changes`, while workers of both
// versions run on one shard: each change is announced once to each project, none is missed.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDatabase, type Database } from '../../src/db/client.ts'
import { insertPositions, PositionMoved, selectPosition } from '../../src/db/log/consumers.ts'
import { readHeads, readShard, type Heads } from '../../src/db/log/feed.ts'
import { ensureDatabase, migrate } from '../../src/db/migrations/migrate.ts'
import { isProfileChange, memberUpdates } from '../../src/domain/projects/profile-changes.ts'
import { systemWrite, write } from '../../src/domain/write.ts'
import { AppError } from '../../src/errors.ts'
import { createLog } from '../../src/log.ts'
import { projectScope, shardOf, userScope } from '../../src/model/scope.ts'
import { newId } from '../../src/model/scalar.ts'
import { consumers, installConsumers } from '../../src/worker/all-consumers.ts'
import { newStats } from '../../src/worker/engine/consumer.ts'
import type { LogSource } from '../../src/worker/engine/log-source.ts'
import { PositionStore } from '../../src/worker/engine/position-store.ts'
import { ShardConsumer } from '../../src/worker/engine/shard-consumer.ts'
import { createRandom } from '../oracle/random.ts'
import { testDatabase, type TestDatabase } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'

const log = createLog('test', 'silent')
const publisher = { publish() {} }
const handover = '0010_profile_changes.sql'
const sqlDir = join(import.meta.dir, '..', '..', 'sql')
const consumerOf = (name: string) => consumers.find((one) => one.name === name)!
const [notifications, profileChanges] = [consumerOf('notifications'), consumerOf('profile-changes')]
const userId = newId()
const shard = shardOf(userScope(userId))

/** A project in another shard than the user's, in which the tests count every entry. */
const newProject = (): string => {
  for (;;) {
    const id = newId()
    if (shardOf(projectScope(id)) !== shard) return id
  }
}
const projects = [newProject(), newProject()]

let server: TestDatabase
let url: string
let db: Database
let folder: string

/**
 * A database as the version before `profile-changes` left it, with its consumer's positions. It has all other migrations
 * already, because the statements of this test are those of this version: 0010 comes last, under another number.
 */
beforeEach(async () => {
  server = await testDatabase({ empty: true })
  url = server.url
  await ensureDatabase(url)
  folder = await mkdtemp(join(tmpdir(), 'migrations-'))
  const files = (await readdir(sqlDir)).filter((file) => /^\d{4}_/.test(file))
  for (const file of files.filter((name) => name !== handover))
    await cp(join(sqlDir, file), join(folder, file))
  await migrate({ url, log, folder })
  await cp(join(sqlDir, handover), join(folder, `9999${handover.slice(4)}`))
  db = openDatabase({ url, max: 8, applicationName: 'handover', log })
  await db.transact(async (tx) => {
    await tx`insert into users (id, email, name, password_hash) values (${userId}, 'a@example.com', 'Name 0', '')`
    await tx`insert into projects ${tx(projects.map((id) => ({ id, name: 'Project' })))}`
    await tx`insert into members (project_id, user_id, role) select id, ${userId}, 'owner' from projects`
    await insertPositions(tx, 'notifications')
  })
})

afterEach(async () => {
  await db[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

let names = 0
const rename = () =>
  write({ db, publisher }, systemWrite, async () => {
    names += 1
    const changes = { name: { from: `Name ${names - 1}`, to: `Name ${names}` } }
    const entry = { scope: userScope(userId), type: 'user.updated' as const, id: userId, version: names }
    return { value: null, entries: [{ ...entry, data: {}, changed: ['name'], changes, actorId: userId }] }
  })

/** An entry that concerns no consumer. */
const append = () =>
  write({ db, publisher }, systemWrite, async () => ({
    value: null,
    entries: [{ scope: userScope(userId), type: 'task.deleted', id: newId(), version: 1, actorId: null }],
  }))

const heads = (): Promise<Heads> => db.read(readHeads)
const position = (consumer: string): Promise<number> => db.read((sql) => selectPosition(sql, consumer, shard))

/** What a worker of the previous version does with the next `limit` entries, in its statements. */
const previousWorker = async (limit = 100): Promise<void> => {
  const from = await position('notifications')
  const entries = await db.read((sql) => readShard(sql, shard, from, Number.MAX_SAFE_INTEGER, limit))
  const to = entries.at(-1)?.seq
  if (to === undefined) return
  await write({ db, publisher }, systemWrite, async (tx) => {
    const made = await memberUpdates(tx, entries.filter(isProfileChange))
    const moved = await tx`
      update consumer_cursor set seq = ${to}
      where consumer = 'notifications' and shard = ${shard} and seq = ${from}
      returning seq`
    if (moved.length === 0) throw new PositionMoved({ consumer: 'notifications', epoch: '', shard, from, to })
    return { value: null, entries: made }
  })
}

const openSource = async (): Promise<LogSource> => {
  const { epoch } = await heads()
  let seqs: number[] = []
  return {
    epoch,
    head: (of) => seqs[of] ?? 0,
    async read(of, after, limit) {
      seqs = (await heads()).seqs
      return db.read((sql) => readShard(sql, of, after, seqs[of]!, limit))
    },
    wait: async () => {
      await heads()
    },
    wake() {},
    inTurn: (_consumer, _signal, work) => work(),
  }
}

/** Runs these consumers of this version while `work` runs. */
const consuming = async (which: typeof consumers, work: () => Promise<unknown>): Promise<void> => {
  const source = await openSource()
  const stop = new AbortController()
  const runs = which.map((consumer) =>
    new ShardConsumer(
      { db, publisher, source, positions: new PositionStore(db), log },
      consumer,
      shard,
      newStats(),
    ).run(stop.signal),
  )
  try {
    await work()
  } finally {
    stop.abort()
    await Promise.all(runs)
  }
}

/** Both consumers have read everything. */
const caughtUp = (): Promise<void> =>
  eventually(
    async () => {
      const { seqs } = await heads()
      expect([await position('notifications'), await position('profile-changes')]).toEqual([
        seqs[shard]!,
        seqs[shard]!,
      ])
    },
    { timeoutMs: 15_000 },
  )

/** Changes announced to each project, by the name they lead to. */
const announced = async (): Promise<string[][]> => {
  const rows = await db.read(
    (sql) => sql<{ scope: string; name: string }[]>`
      select scope, changes->'name'->>'to' as name from feed where type = 'member.updated' order by seq`,
  )
  return projects.map((id) => rows.filter(({ scope }) => scope === `project:${id}`).map(({ name }) => name))
}

const expectAnnouncedOnce = async (from: number): Promise<void> => {
  const wanted = Array.from({ length: names - from }, (_, n) => `Name ${from + n + 1}`).sort()
  expect((await announced()).map((seen) => seen.toSorted())).toEqual([wanted, wanted])
}

test('the new consumer starts where the previous one is at the migration, and moves with it afterwards', async () => {
  const from = names
  for (let n = 0; n < 6; n += 1) await rename()
  await previousWorker(2)
  await migrate({ url, log, folder })
  await installConsumers(db)
  expect([await position('notifications'), await position('profile-changes')]).toEqual([2, 2])
  await previousWorker(2)
  expect([await position('notifications'), await position('profile-changes')]).toEqual([4, 4])
  await consuming(consumers, caughtUp)
  await expectAnnouncedOnce(from)
})

test('a previous worker that installs its consumer after the migration installs the new one at the same positions', async () => {
  const from = names
  await db.transact((tx) => tx`delete from consumer_cursor`)
  await migrate({ url, log, folder })
  await append()
  await db.transact((tx) => insertPositions(tx, 'notifications'))
  await rename()
  await installConsumers(db)
  await consuming(consumers, caughtUp)
  await expectAnnouncedOnce(from)
})

test('a previous worker is refused only where it would repeat or leave out a profile change', async () => {
  const from = names
  await migrate({ url, log, folder })
  const refused = { code: 'unavailable' }
  await rename()
  await consuming([profileChanges], () =>
    eventually(async () => expect(await position('profile-changes')).toBe(1)),
  )
  expect(await previousWorker().catch((error: unknown) => error)).toMatchObject(refused) // would repeat 1
  await consuming([notifications], () =>
    eventually(async () => expect(await position('notifications')).toBe(1), { timeoutMs: 30_000 }),
  )
  await append()
  await previousWorker() // nothing to repeat
  await rename()
  await consuming([notifications], () =>
    eventually(async () => expect(await position('notifications')).toBe(3), { timeoutMs: 30_000 }),
  )
  await append()
  expect(await previousWorker().catch((error: unknown) => error)).toMatchObject(refused) // would leave out 3
  await consuming(consumers, caughtUp)
  await append()
  await previousWorker()
  expect(await position('profile-changes')).toBe(await position('notifications'))
  await expectAnnouncedOnce(from)
})

test('workers of both versions on one shard, without leases, announce every profile change once', async () => {
  const seed = Date.now() % 1_000_000
  console.log({ seed })
  const random = createRandom(seed)
  const from = names
  const stop = new AbortController()
  let moves = 0
  let refusals = 0
  const previous = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const before = await position('notifications')
      await previousWorker(random.between(1, 5)).then(
        () => (moves += 1),
        (error: unknown) => {
          if (!(error instanceof PositionMoved || error instanceof AppError)) throw error
          refusals += 1
        },
      )
      if ((await position('notifications')) === before) await heads()
    }
  }
  const writing = async (): Promise<void> => {
    for (let n = 0; n < 60; n += 1) await (random.between(0, 2) === 0 ? append() : rename())
  }
  const running = previous()
  await writing().then(() => migrate({ url, log, folder }))
  await consuming([...consumers, ...consumers], async () => {
    await writing()
    stop.abort()
    await running
    await caughtUp()
  })
  console.log({ moves, refusals })
  await expectAnnouncedOnce(from)
}, 60_000)
