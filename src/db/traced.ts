// A database whose calls are spans of the traces they belong to. Batches are not here: each serves many requests, and the
// coalescer, which knows them, records them. Calls of the process itself belong to no trace and have none.
import { SpanKind, withChildSpan } from '../tracing/spans.ts'
import type { Database, DatabaseCalls } from './client.ts'

export const traced = (db: Database): Database => ({
  ...db,
  ...tracedCalls(db),
  of: (caller) => tracedCalls(db.of(caller)),
})

const tracedCalls = (calls: DatabaseCalls): DatabaseCalls => ({
  read: (work, options) => inSpan('read', () => calls.read(work, options)),
  transact: (work, options) => inSpan('transaction', () => calls.transact(work, options)),
  snapshot: (work, options) => inSpan('snapshot', () => calls.snapshot(work, options)),
  refusedWrite: () => calls.refusedWrite(),
})

/** From the wait in the caller's queue to the answer. */
const inSpan = <T>(operation: string, call: () => Promise<T>): Promise<T> =>
  withChildSpan(
    `PostgreSQL ${operation}`,
    {
      kind: SpanKind.CLIENT,
      attributes: { 'db.system.name': 'postgresql', 'db.operation.name': operation },
    },
    call,
  )
