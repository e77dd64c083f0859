// Databases on a server we may administer: made, cloned and dropped by their names.
import { SQL } from 'bun'

const connectSeconds = 5

/** The same server and user, another database. */
export const urlOf = (adminUrl: string, name: string): string => {
  const url = new URL(adminUrl)
  url.pathname = `/${encodeURIComponent(name)}`
  return url.href
}

const withAdmin = async <T>(adminUrl: string, work: (sql: SQL) => Promise<T>): Promise<T> => {
  const sql = new SQL({ url: adminUrl, max: 1, connectionTimeout: connectSeconds })
  try {
    return await work(sql)
  } finally {
    await sql.close({ timeout: 1 })
  }
}

/** Copies files instead of writing them through the log: 15 ms where the log takes 50. */
export const cloneDatabase = async (adminUrl: string, name: string, template: string): Promise<string> => {
  await withAdmin(
    adminUrl,
    (sql) => sql`create database ${sql(name)} template ${sql(template)} strategy file_copy`,
  )
  return urlOf(adminUrl, name)
}

/** Terminates the remaining connections. */
export const dropDatabase = (adminUrl: string, name: string): Promise<void> =>
  withAdmin(adminUrl, async (sql) => {
    await sql`drop database if exists ${sql(name)} with (force)`
  })
