// Maps the errors of PostgreSQL during a start to start failures.
import {
  codeOfError,
  configurationFailure,
  networkFailure,
  StartFailure,
  unavailableFailure,
} from './failure.ts'

export interface PostgresPlace {
  host: string
  port: number
  database: string
  user: string | null
}

export const oldestPostgres = 15

/** SQLSTATE → the sentence. */
const states: Record<string, (place: PostgresPlace) => StartFailure> = {
  '28P01': (place) =>
    configurationFailure(
      `DATABASE_URL: PostgreSQL refuses ${userOf(place)}: correct the user or the password`,
    ),
  '28000': (place) =>
    configurationFailure(
      `DATABASE_URL: PostgreSQL does not let ${userOf(place)} in from here: create the role, or allow it in pg_hba.conf`,
    ),
  '3D000': ({ database }) =>
    configurationFailure(
      `DATABASE_URL names the database ${database}, which does not exist: correct the name, or create it with bun src/main.ts migrate`,
    ),
  '42501': (place) =>
    configurationFailure(
      `DATABASE_URL: ${userOf(place)} lacks rights in the database ${place.database}: make it the owner (alter database … owner to …)`,
    ),
  '53300': () =>
    unavailableFailure(
      'DATABASE_URL: PostgreSQL has no connection left: raise max_connections or the limit of the role, or lower DATABASE_POOL',
    ),
  '53100': () => unavailableFailure('DATABASE_URL: the disk of PostgreSQL is full: free space on it'),
  '53200': () => unavailableFailure('DATABASE_URL: PostgreSQL is out of memory: give it more'),
  '57P03': () =>
    unavailableFailure(
      'DATABASE_URL: PostgreSQL is starting or stopping: start again when it accepts connections',
    ),
  '57P01': () =>
    unavailableFailure(
      'DATABASE_URL: PostgreSQL ended the connection: start again when it accepts connections',
    ),
  '25006': () => readOnly(),
  '42704': () => parameters(),
  '22023': () => parameters(),
}

const parameters = (): StartFailure =>
  configurationFailure(
    'DATABASE_URL: PostgreSQL, or a pool before it, refuses a setting of the session: check the parameter options, and ignore_startup_parameters of the pool',
  )

export const readOnly = (): StartFailure =>
  configurationFailure('DATABASE_URL names a PostgreSQL that only reads, such as a standby: name the primary')

const userOf = ({ user }: PostgresPlace): string => (user === null ? 'the user' : `the user ${user}`)

const trustCure =
  'name the file of the authority in the parameter sslrootcert, or give PostgreSQL a certificate of a public one'

/** Null for what has nothing to do with reaching or entering PostgreSQL. */
export const postgresFailure = (error: unknown, place: PostgresPlace): StartFailure | null => {
  if (error instanceof StartFailure) return error
  const code = codeOfError(error)
  const known = states[code]
  if (known) return known(place)
  const { host, port } = place
  const remote = { setting: 'DATABASE_URL', part: 'PostgreSQL', host, port }
  const failure = networkFailure(error, remote, trustCure)
  if (failure) return failure
  if (/^(?:08|CONNECTION_|ECONNRESET|EPIPE|ERR_SSL)/.test(code))
    return unavailableFailure(
      `DATABASE_URL: ${host}:${port} closed the connection: check that PostgreSQL listens there and what sslmode says`,
    )
  return null
}
