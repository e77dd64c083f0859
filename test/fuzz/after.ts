// What must hold after a run: no entry of a refused request, a log without gaps.
import type { Database } from '../../src/db/client.ts'
import { checkLog } from '../oracle/compare.ts'
import type { FuzzResult } from './run.ts'

/** Descriptions of what is wrong in PostgreSQL. */
export const checkAfter = async (db: Database, { refusedKeys }: FuzzResult): Promise<string[]> => {
  const written = await db.read(
    (sql) =>
      sql<
        { op: string; type: string }[]
      >`select op, type from feed where starts_with(op, ${refusedKeys}) limit 5`,
  )
  return [
    ...written.map(({ op, type }) => `the refused request ${op} wrote ${type}`),
    ...(await checkLog(db)),
  ]
}
