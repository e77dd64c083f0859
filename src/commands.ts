// The roles that do one thing and end. Each answers the exit code.
import { parseArgs } from 'node:util'
import { readConfig } from './config.ts'
import { openServer } from './compose.ts'
import { openDatabase } from './db/client.ts'
import { selectDeadLetters } from './db/consumers.ts'
import { ensureEpoch } from './db/feed.ts'
import { ensureDatabase, migrate, migrationStatus } from './db/migrate.ts'
import { dumpSchema } from './db/schema-dump.ts'
import { seedDemo } from './domain/seed.ts'
import { createLog } from './log.ts'
import { lineOf, tail, TailEnded, type TailOptions } from './tail.ts'

type Environment = Record<string, string | undefined>

const schemaFile = new URL('../sql/schema.sql', import.meta.url)

/** `migrate`, `migrate status`, `migrate dump [--check]`, `migrate epoch --new`. */
export const migrateCommand = async (environment: Environment, args: string[]): Promise<number> => {
  const { databaseUrl: url, logLevel } = readConfig(environment, ['databaseUrl', 'logLevel'])
  const log = createLog('migrate', logLevel)
  const [verb = 'up', option] = args
  switch (verb) {
    case 'up': {
      await ensureDatabase(url)
      const applied = await migrate({ url, log })
      console.log(applied.length === 0 ? 'The database is up to date.' : `Applied ${applied.join(', ')}.`)
      return 0
    }
    case 'status': {
      const rows = await migrationStatus({ url, log })
      for (const row of rows)
        console.log(
          `${row.state.padEnd(8)} ${String(row.version).padStart(4, '0')}_${row.name} ${row.appliedAt ?? ''}`,
        )
      return rows.every((row) => row.state === 'applied') ? 0 : 1
    }
    case 'dump': {
      await using db = openDatabase({ url, max: 1, applicationName: 'tasktide migrate', log })
      const schema = await db.read(dumpSchema)
      const current = await Bun.file(schemaFile)
        .text()
        .catch(() => '')
      if (option === '--check') {
        if (schema === current) return 0
        console.error(
          'sql/schema.sql is stale: run `bun src/main.ts migrate dump` against a migrated database.',
        )
        return 1
      }
      await Bun.write(schemaFile, schema)
      return 0
    }
    case 'epoch': {
      if (option !== '--new') break
      await using db = openDatabase({ url, max: 1, applicationName: 'tasktide migrate', log })
      const { epoch } = await db.transact((tx) => ensureEpoch(tx, true))
      console.log(`The log continues under epoch ${epoch}; every client reads its snapshot anew.`)
      return 0
    }
  }
  console.error(
    `Unknown: migrate ${args.join(' ')}. Use migrate, migrate status, migrate dump [--check] or migrate epoch --new.`,
  )
  return 2
}

/** `seed`: demo users and a demo project, once. */
export const seedCommand = async (environment: Environment): Promise<number> => {
  const config = readConfig(environment)
  const log = createLog('seed', config.logLevel)
  await using server = await openServer({ ...config, port: 0 }, log)
  console.log(
    (await seedDemo(server.deps))
      ? 'Seeded the demo users and their project.'
      : 'The demo data is there already.',
  )
  return 0
}

const tailUsage = `Usage: bun run tail -- [--scope project:<id>|user:me] [--cursor C] [--url U] [--json]
                       [--token T | --email E --password P]     or --dead
  --cursor   show what follows it first; the last one is printed at the end
  --json     events as they are, one a line
  --dead     what consumers gave up on, from the database in DATABASE_URL
TASKTIDE_TOKEN and TASKTIDE_PASSWORD stand for --token and --password, out of sight of other users.`

/** `tail`: follows one scope of the log until interrupted, or lists what consumers gave up on. */
export const tailCommand = async (environment: Environment, args: string[]): Promise<number> => {
  const options = tailOptions(args)
  if (!options || options.help) {
    console.error(tailUsage)
    return options ? 0 : 2
  }
  if (options.dead) return listDeadLetters(environment, options.json)
  const note = (text: string): void => console.error(text)
  const { url, scope, json, email, cursor = null } = options
  const token = options.token ?? environment['TASKTIDE_TOKEN'] ?? null
  const password = options.password ?? environment['TASKTIDE_PASSWORD']
  const renew = email !== undefined && password !== undefined ? () => signIn(url, email, password) : null
  if (token === null && !renew) {
    console.error(`Give a token, or an e-mail address and a password.\n\n${tailUsage}`)
    return 2
  }
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort())
  const show: TailOptions['show'] = (event) => console.log(json ? JSON.stringify(event) : lineOf(event))
  try {
    const last = await tail({ url, scope, cursor, token, renew, show, note, signal: stop.signal })
    note(last === null ? 'Stopped' : `Stopped; go on with --cursor ${last}`)
    return 0
  } catch (error) {
    if (!(error instanceof TailEnded)) throw error
    note(error.message)
    return 1
  }
}

/** Null for what cannot be read. */
const tailOptions = (args: string[]) => {
  try {
    const { values } = parseArgs({
      args,
      options: {
        scope: { type: 'string', default: 'user:me' },
        cursor: { type: 'string' },
        url: { type: 'string', default: 'http://127.0.0.1:3000' },
        token: { type: 'string' },
        email: { type: 'string' },
        password: { type: 'string' },
        json: { type: 'boolean', default: false },
        dead: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    return URL.canParse(values.url) ? { ...values, url: values.url.replace(/\/$/, '') } : null
  } catch {
    return null
  }
}

const signInDeadlineMs = 10_000

/** @throws TailEnded where the server refuses the person, another error where it is away or busy. */
const signIn = async (url: string, email: string, password: string): Promise<string> => {
  const response = await fetch(`${url}/api/auth/login`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ email, password }),
    signal: AbortSignal.timeout(signInDeadlineMs),
  })
  const answer: unknown = await response.json()
  const token = typeof answer === 'object' && answer !== null && Reflect.get(answer, 'accessToken')
  if (typeof token === 'string') return token
  const isFinal = response.status < 500 && response.status !== 429
  throw new (isFinal ? TailEnded : Error)(`Signing in was answered with ${response.status}`)
}

const listDeadLetters = async (environment: Environment, json: boolean): Promise<number> => {
  const { databaseUrl: url, logLevel } = readConfig(environment, ['databaseUrl', 'logLevel'])
  const log = createLog('tail', logLevel)
  await using db = openDatabase({ url, max: 1, applicationName: 'tasktide tail', log })
  const letters = await db.read(selectDeadLetters)
  for (const letter of letters) {
    const { failedAt, consumer, shard, seq, type, attempts, error } = letter
    console.log(
      json
        ? JSON.stringify(letter)
        : `${failedAt} ${consumer} ${shard}.${seq} ${type} after ${attempts} attempts: ${JSON.stringify(error)}`,
    )
  }
  if (letters.length === 0) console.error('No dead letters.')
  return 0
}
