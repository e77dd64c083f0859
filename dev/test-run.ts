// `npm test`: a PostgreSQL and a Redis of its own, one migrated template database, then `bun test` in random
// order. The last line printed is `N passed, N failed`; success means that at least one test ran, none failed
// and Bun itself exited with 0. Nothing it started or wrote stays behind.
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { secretSettings } from '../src/config.ts'
import { ensureDatabase, migrate } from '../src/db/migrations/migrate.ts'
import { messageOf } from '../src/errors.ts'
import { createLog } from '../src/log.ts'
import { fileFailure } from '../src/start/failure.ts'
import { claim } from './claim.ts'
import { dropDatabase, urlOf } from './databases.ts'
import { startGuarded } from './guarded.ts'
import { watchInterruption } from './interruption.ts'
import { startPostgres } from './postgres.ts'
import { identify } from './process-identity.ts'
import { startRedis } from './redis.ts'

type Environment = Record<string, string | undefined>

interface Counts {
  passed: number
  failed: number
}

const root = resolve(import.meta.dir, '..')
const runsDir = join(root, '.data', 'tests')
const testTimeoutMs = 30_000 // of one test; the machine may be busy
const outputPollMs = 40
const stopTimeoutMs = 5_000

/**
 * Where tests put temporary files, so that the files of a killed test are removed too. Outside the work tree, because git
 * below it takes paths for the repository's; `dir` keeps a link to it for the run that clears up.
 */
const ownTemporaryFolder = (dir: string): string => {
  const path = mkdtempSync(join(tmpdir(), 'tide-test-'))
  symlinkSync(path, join(dir, 'tmp'))
  return path
}

const temporaryFolderOf = (dir: string): string | undefined => {
  try {
    return readlinkSync(join(dir, 'tmp'))
  } catch {
    return undefined // it was killed before it created one
  }
}

/** What a run that was killed left behind: its folder, and if even the guards were killed, its servers. */
const clearDeadRuns = async (): Promise<void> => {
  mkdirSync(runsDir, { recursive: true })
  for (const name of readdirSync(runsDir)) {
    if (identify(Number(name))) continue
    for (const part of ['postgres', 'redis']) {
      await claim(join(runsDir, name, part, 'owner.json'), part).catch(() => {})
    }
    const tmp = temporaryFolderOf(join(runsDir, name))
    if (tmp !== undefined) rmSync(tmp, { recursive: true, force: true })
    rmSync(join(runsDir, name), { recursive: true, force: true })
  }
}

/** Totals of Bun's summary lines. Its JUnit report leaves out files that do not load; these lines do not. */
export const countsOf = (output: string, exitCode: number): Counts => {
  const plain = Bun.stripANSI(output)
  const total = (word: string) =>
    [...plain.matchAll(new RegExp(`^ (\\d+) ${word}s?$`, 'gm'))].reduce(
      (sum, found) => sum + Number(found[1]),
      0,
    )
  const passed = total('pass')
  const failed = Math.max(total('fail'), total('error'))
  const isBroken = exitCode !== 0 || passed + failed === 0
  return { passed, failed: failed === 0 && isBroken ? 1 : failed }
}

/** Runs Bun guarded, its output copied to ours while it grows. */
const runBunTest = async (args: string[], env: Environment, dir: string, stopped: Promise<string>) => {
  const logFile = join(dir, 'output.log')
  const child = await startGuarded({
    command: [process.execPath, 'test', ...args],
    logFile,
    stopSignal: 'SIGTERM',
    cwd: root,
    env,
  })
  let reason: string | undefined
  void stopped.then((why) => {
    reason = why
    return child.stop(stopTimeoutMs)
  })
  const file = await open(logFile)
  const decoder = new TextDecoder()
  let output = ''
  const copy = async (): Promise<void> => {
    const chunk = await file.read(Buffer.alloc(1 << 16))
    if (chunk.bytesRead === 0) return
    const text = decoder.decode(chunk.buffer.subarray(0, chunk.bytesRead), { stream: true })
    output += text
    process.stdout.write(text)
    return copy()
  }
  try {
    while (child.isRunning()) {
      await copy()
      await Bun.sleep(outputPollMs)
    }
    const exitCode = await child.exited
    await copy()
    return { output, exitCode, reason }
  } finally {
    await file.close()
  }
}

const startServers = async (
  stack: AsyncDisposableStack,
  dir: string,
  env: Environment,
): Promise<Environment> => {
  const log = (line: string) => process.stderr.write(`${line}\n`)
  const startOwnPostgres = async () => {
    const postgres = await startPostgres({ dataDir: join(dir, 'postgres'), durable: false })
    stack.defer(() => postgres.stop('immediate')) // the data is thrown away
    return postgres.url
  }
  const startOwnRedis = async () => {
    const redis = await startRedis({ dataDir: join(dir, 'redis'), appendOnly: false, log })
    stack.use(redis)
    return redis.url
  }
  const [databaseUrl, redisUrl] = await Promise.all([
    env['TEST_DATABASE_URL'] ?? startOwnPostgres(),
    env['TEST_REDIS_URL'] ?? startOwnRedis(),
  ])
  const template = `tide_template_${process.pid}`
  const url = urlOf(databaseUrl, template)
  stack.defer(() => dropDatabase(databaseUrl, template))
  await ensureDatabase(url)
  await migrate({ url, log: createLog('migrate', 'warn') })
  return { TEST_DATABASE_URL: databaseUrl, TEST_DATABASE_TEMPLATE: template, TEST_REDIS_URL: redisUrl }
}

const runInside = async (
  dir: string,
  args: string[],
  env: Environment,
  stopped: Promise<string>,
): Promise<Counts> => {
  await using stack = new AsyncDisposableStack()
  stack.defer(() => rmSync(dir, { recursive: true, force: true }))
  const servers = await startServers(stack, dir, env)
  const tmp = ownTemporaryFolder(dir)
  stack.defer(() => rmSync(tmp, { recursive: true, force: true }))
  const seed = `--seed=${crypto.getRandomValues(new Uint32Array(1))[0]}` // one in `args` comes later and wins
  const workers = Math.max(2, availableParallelism())
  // Tests use the servers above, never those that the caller's environment names.
  const rest = Object.fromEntries(
    Object.entries(env).filter(([name]) => !secretSettings.includes(name.replace(/_FILE$/, ''))),
  )
  const color = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}
  const done = await runBunTest(
    [`--parallel=${workers}`, `--timeout=${testTimeoutMs}`, '--randomize', seed, ...args],
    { ...rest, ...servers, ...color, TMPDIR: tmp },
    dir,
    stopped,
  )
  if (done.reason) process.stdout.write(`\nInterrupted: ${done.reason}\n`)
  return countsOf(done.output, done.exitCode)
}

/** @param args paths and options of `bun test`. @returns the exit code. */
export const runTests = async (args: string[], env: Environment): Promise<number> => {
  const interruption = watchInterruption(env['TASKTIDE_LAUNCHER'])
  // The guards stop what is left when this process goes without waiting.
  void interruption.second.then(() => process.exit(130))
  const dir = join(runsDir, String(process.pid))
  const attempt = async (): Promise<Counts> => {
    await clearDeadRuns()
    mkdirSync(dir, { mode: 0o755 })
    return runInside(dir, args, env, interruption.first)
  }
  const counts = await attempt().catch((error: unknown): Counts => {
    process.stdout.write(`${messageOf(fileFailure(error, 'this clone', root) ?? error)}\n`)
    return { passed: 0, failed: 1 }
  })
  process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed\n`)
  return counts.failed === 0 ? 0 : 1
}
