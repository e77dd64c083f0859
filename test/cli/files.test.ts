// `files sweep` as a process, on a folder and on an S3 server: what it prints, what it changes, how it ends, and that a worker
// deletes what it listed.
import { describe, expect, test } from 'bun:test'
import { rm, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { selectFileState } from '../../src/db/files/sweep.ts'
import { createLog } from '../../src/log.ts'
import { newId } from '../../src/model/scalar.ts'
import type { SweepReport } from '../../src/model/sweep.ts'
import { diskStorage } from '../../src/storage/disk.ts'
import { s3Storage } from '../../src/storage/s3.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { freePort } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { runProgram, startProgram, type Ended } from '../support/program.ts'
import { startS3Server } from '../support/s3-server.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

const dayMs = 86_400_000

/** A world, its storage, and the settings of a process that uses both. */
interface Place extends AsyncDisposable {
  world: World
  storage: Storage
  environment: Record<string, string>
  setModifiedAt(key: string, at: Date): Promise<void>
}

const onDisk = async (): Promise<Place> => {
  const world = await startWorld()
  const root = join(world.config.dataDir, 'files')
  return {
    world,
    storage: diskStorage(root),
    environment: { TIDE_DATA: world.config.dataDir },
    setModifiedAt: (key, at) => utimes(join(root, key), at, at),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  }
}

const onS3 = async (): Promise<Place> => {
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await startS3Server('s3rver'))
  const world = stack.use(await startWorld(server.config()))
  const temporary = join(world.config.dataDir, 'of-the-test')
  const storage = stack.use(s3Storage(server.settings(), temporary, createLog('test', 'silent')))
  const owned = stack.move()
  return {
    world,
    storage,
    environment: { TIDE_DATA: world.config.dataDir, ...server.environment() },
    setModifiedAt: (key, at) => server.setModifiedAt(key, at),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

const sweep = ({ world, environment }: Place, args: string[] = [], other: Record<string, string> = {}) =>
  runProgram(
    ['files', 'sweep', ...args],
    { DATABASE_URL: world.databaseUrl, ...environment, ...other },
    60_000,
  )

const reportOf = ({ stdout }: Ended): SweepReport => JSON.parse(stdout.trim().split('\n').at(-1)!)

const keysOf = async ({ storage }: Place): Promise<string[]> =>
  (await Array.fromAsync(storage.list('attachments/'))).map(({ key }) => key).toSorted()

const stateOf = ({ world }: Place) => world.server.deps.db.read(selectFileState)

/** Attachments of one task, as a server leaves them. @returns the keys, sorted. */
const attach = async (
  place: Place,
  person: Person,
  count: number,
  { daysOld = 0, withObjects = true, withRows = true } = {},
): Promise<string[]> => {
  const { world, storage } = place
  const at = new Date(Date.now() - daysOld * dayMs - 60_000)
  const files = Array.from({ length: count }, () => ({ id: newId(), key: `attachments/2026-11/${newId()}` }))
  for (const { key } of withObjects ? files : []) {
    await storage.put(key, new TextEncoder().encode('text'))
    await place.setModifiedAt(key, at)
  }
  if (withRows) {
    const task = await world.ask(person, 'POST', '/api/tasks', { projectId: person.inboxId, title: 'Files' })
    await world.server.deps.db.transact(
      (tx) => tx`
        insert into attachments
          (id, task_id, uploader_id, state, storage_key, filename, content_type, size, sha256, created_at)
        select (file->>'id')::uuid, ${task.id}, ${person.id}, 'ready', file->>'key', 'a.txt', 'text/plain', 4, '', ${at}
        from json_array_elements(${JSON.stringify(files)}::text::json) as file`,
    )
  }
  return files.map(({ key }) => key).toSorted()
}

describe.each([
  ['a folder', onDisk],
  ['an S3 server', onS3],
])('files sweep on %s', (_, open) => {
  test('counts and changes nothing by default; --delete lists what a worker then deletes, and nothing younger than a day goes', async () => {
    await using place = await open()
    const owner = await place.world.register()
    await attach(place, owner, 3, { daysOld: 2 })
    await attach(place, owner, 1)
    const orphans = await attach(place, owner, 2, { daysOld: 1, withRows: false })
    const young = await attach(place, owner, 2, { withRows: false })
    await attach(place, owner, 1, { daysOld: 2, withObjects: false })
    await attach(place, owner, 1, { withObjects: false })
    const before = await keysOf(place)
    const text = [
      '8 objects with 32 bytes, 4 attachments older than a day.',
      'Without a row: 2; younger than a day and left alone: 2.',
      'Without their object: 1.',
    ]
    const warned = { LOG_LEVEL: 'silent' } // missing objects are an error of the log, too
    for (const args of [[], ['--dry-run']])
      expect(await sweep(place, args, warned)).toEqual({
        code: 0,
        stdout: `${[...text, 'Nothing is changed. With --delete objects without a row go.'].join('\n')}\n`,
        stderr: '',
      })
    expect(await keysOf(place)).toEqual(before)
    expect(await stateOf(place)).toMatchObject({
      deletions: 0,
      missing: 0,
      lastSweep: { isDryRun: true, objects: 8, orphans: 2, youngOrphans: 2, missing: 1 },
    })

    const deleted = await sweep(place, ['--delete'], warned)
    const outcome = 'Listed for deletion by a worker: 2. Left by interrupted uploads and removed: 0.'
    expect(deleted).toEqual({ code: 0, stdout: `${[...text, outcome].join('\n')}\n`, stderr: '' })
    // No worker runs: the objects are still there, and listed once however often it is asked.
    expect(await keysOf(place)).toEqual(before)
    expect(reportOf(await sweep(place, ['--delete', '--json']))).toMatchObject({
      orphans: 0,
      listed: 0,
      missing: 1,
    })
    expect(await stateOf(place)).toMatchObject({ deletions: 2, missing: 1, lastSweep: { isDryRun: false } })

    await using _worker = await startProgram(place.world, {
      args: ['worker'],
      environment: { WORKER_PORT: '0', ...place.environment },
    })
    const left = before.filter((key) => !orphans.includes(key))
    await eventually(async () => expect(await keysOf(place)).toEqual(left), {
      timeoutMs: 30_000,
      everyMs: 100,
    })
    expect(left).toEqual(expect.arrayContaining(young))
    await eventually(async () => expect((await stateOf(place)).deletions).toBe(0), { timeoutMs: 10_000 })
    const after = reportOf(await sweep(place, ['--json', '--delete']))
    expect(after).toMatchObject({ objects: 6, orphans: 0, youngOrphans: 2, rows: 4, missing: 1, listed: 0 })
  }, 120_000)

  test('refuses to delete most of the objects unless it is forced, with an exit code of its own', async () => {
    await using place = await open()
    const owner = await place.world.register()
    const orphans = await attach(place, owner, 101, { daysOld: 2, withRows: false })
    const counted = await sweep(place)
    expect([counted.code, counted.stdout]).toEqual([
      0,
      expect.stringContaining('--delete is refused without --force'),
    ])
    const refused = await sweep(place, ['--delete'])
    expect([refused.code, refused.stdout]).toEqual([
      1,
      expect.stringContaining('Nothing is deleted, because most'),
    ])
    expect(await stateOf(place)).toMatchObject({ deletions: 0, lastSweep: { isRefused: true, listed: 0 } })
    const forced = await sweep(place, ['--delete', '--force', '--json'])
    expect([forced.code, reportOf(forced)]).toMatchObject([0, { isRefused: false, listed: orphans.length }])
  }, 120_000)
})

test('a bad command line is refused with what is wrong and the usage, before anything is opened', async () => {
  const nowhere = { DATABASE_URL: `postgres://x@127.0.0.1:${freePort()}/x` }
  const lines: [string[], string][] = [
    [[], 'Say what to do with the files.'],
    [['clean'], 'There is no command files clean.'],
    [['sweep', '--deleet'], 'files sweep has no option --deleet.'],
    [['sweep', '--delete=yes'], 'files sweep has no option --delete=yes.'],
    [['sweep', 'attachments/'], 'files sweep takes no argument, and was given attachments/.'],
    [['sweep', '--delete', '--dry-run'], 'Give --delete or --dry-run, not both.'],
    [['sweep', '--force'], '--force does nothing without --delete.'],
  ]
  for (const [args, fault] of lines) {
    const { code, stdout, stderr } = await runProgram(['files', ...args], nowhere)
    expect([args, code, stdout, stderr.split('\n\n')]).toEqual([
      args,
      2,
      '',
      [fault, expect.stringContaining('Usage: bun src/main.ts files sweep')],
    ])
  }
  for (const args of [['--help'], ['sweep', '--help']])
    expect(await runProgram(['files', ...args], nowhere)).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^Usage: .*files sweep \[--delete/),
    })
}, 60_000)

test('a part that is away ends it with 69 and one sentence, and nothing is listed', async () => {
  await using place = await onDisk()
  const owner = await place.world.register()
  await attach(place, owner, 1, { daysOld: 2 })
  await attach(place, owner, 2, { daysOld: 2, withRows: false })
  const secret = 'a-secret-of-the-store'
  const awayStore = {
    S3_ENDPOINT: `http://127.0.0.1:${freePort()}`,
    S3_BUCKET: 'files',
    S3_ACCESS_KEY_ID: 'test',
    S3_SECRET_ACCESS_KEY: secret,
  }
  const quiet = { LOG_LEVEL: 'silent' }
  expect(await sweep(place, ['--delete'], { ...quiet, ...awayStore })).toEqual({
    code: 69,
    stdout: '',
    stderr:
      'The storage of the files cannot be read: S3_ENDPOINT: nothing listens there: start the object store, or correct the host and the port\n',
  })
  const port = freePort()
  const noDatabase = await sweep(place, [], { ...quiet, DATABASE_URL: `postgres://x@127.0.0.1:${port}/x` })
  expect([noDatabase.code, noDatabase.stderr]).toEqual([69, expect.stringContaining(`127.0.0.1:${port}`)])
  // Its disk is not mounted: nothing counts as missing.
  await rm(join(place.world.config.dataDir, 'files'), { recursive: true })
  const unmounted = await sweep(place, ['--delete'], quiet)
  expect([unmounted.code, unmounted.stderr]).toEqual([
    69,
    expect.stringMatching(
      /^The storage of the files cannot be read: .*its disk is not mounted or was replaced.*\n$/,
    ),
  ])
  expect(await stateOf(place)).toMatchObject({ deletions: 0, missing: 0, lastSweep: null })
}, 60_000)
