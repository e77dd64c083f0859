// What a test file owns: a database cloned from the migrated template, a Redis, ports. `npm test` starts the
// server the clones live on and names it in TEST_DATABASE_URL; whatever is started here ends with its `dispose`.
import { cloneDatabase, dropDatabase } from '../../dev/databases.ts'
import { startRedis, type Redis } from '../../dev/redis.ts'

export { freePort } from '../../src/app/free-port.ts'

export interface TestDatabase extends AsyncDisposable {
  readonly url: string
}

const given = (name: string): string => {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: run tests with \`npm test -- <path>\``)
  return value
}

/** @param options `empty` clones PostgreSQL's own template instead of the migrated one. */
export const testDatabase = async ({ empty = false } = {}): Promise<TestDatabase> => {
  const adminUrl = given('TEST_DATABASE_URL')
  const template = empty ? 'template0' : given('TEST_DATABASE_TEMPLATE')
  const name = `tide_${crypto.randomUUID().replaceAll('-', '')}`
  const url = await cloneDatabase(adminUrl, name, template)
  return { url, [Symbol.asyncDispose]: () => dropDatabase(adminUrl, name) }
}

/** A Redis of its own (25 ms), so that a test may flush, kill and start it again. */
export const testRedis = ({
  appendOnly = false,
  port,
}: { appendOnly?: boolean; port?: number } = {}): Promise<Redis> =>
  startRedis({ appendOnly, ...(port === undefined ? {} : { port }) })

/** The Redis all tests share: for what is keyed by a random name. */
export const sharedRedisUrl = (): string => given('TEST_REDIS_URL')
