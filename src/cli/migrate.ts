// `migrate`: the database and its schema. Answers the exit code.
import { readConfig } from '../config.ts'
import { openDatabase } from '../db/client.ts'
import { ensureEpoch } from '../db/log/epochs.ts'
import { ensureDatabase, migrate, migrationStatus } from '../db/migrations/migrate.ts'
import type { MigrationStatus } from '../db/migrations/migration-state.ts'
import { checkDatabase } from '../db/server-check.ts'
import { dumpSchema } from '../db/migrations/schema-dump.ts'
import { createLog } from '../log.ts'
import { isExecutable } from '../start/executable.ts'

type Environment = Record<string, string | undefined>

const schemaFile = new URL('../../sql/schema.sql', import.meta.url)

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
          `${row.state.padEnd(8)} ${row.name} ${row.appliedAt ?? ''}${isNewer(row) ? ' (newer, compatible)' : ''}`,
        )
      return rows.every((row) => row.state === 'applied' || isNewer(row)) ? 0 : 1
    }
    case 'dump': {
      if (isExecutable) {
        console.error(
          'migrate dump writes a file of the source: run it there, as `bun src/main.ts migrate dump`.',
        )
        return 2
      }
      await checkDatabase({ url, log, migrations: 'current' })
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
      await checkDatabase({ url, log, migrations: 'current' })
      await using db = openDatabase({ url, max: 1, applicationName: 'tasktide migrate', log })
      const { epoch } = await db.transact((tx) => ensureEpoch(tx, true))
      console.log(`The log continues under epoch ${epoch}; every client reads its snapshot again.`)
      return 0
    }
  }
  console.error(
    `Unknown: migrate ${args.join(' ')}. Use migrate, migrate status, migrate dump [--check] or migrate epoch --new.`,
  )
  return 2
}

const isNewer = ({ state, isCompatible }: MigrationStatus): boolean => state === 'unknown' && isCompatible
