// A database whose calls are spans of the traces they belong to. What serves many requests is recorded by its coalescer,
// which knows them (`recordShared`). Calls of the process itself belong to no trace and have none.
import { recordSpans, SpanKind, withChildSpan } from '../tracing/spans.ts'
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
  withChildSpan(nameOf(operation), optionsOf(operation), call)

/**
 * Records a statement or transaction that served many requests, and that ends now, as a span of each.
 * @param served with the `traceparent` of each request. @param startedAt `performance.now()`. @param error why it failed.
 */
export const recordShared = (
  operation: 'read' | 'batch',
  served: readonly { trace: string | null }[],
  startedAt: number,
  error?: unknown,
): void => {
  const { kind, attributes } = optionsOf(operation)
  recordSpans(
    served.map(({ trace }) => trace),
    nameOf(operation),
    { kind, startedAt, attributes: { ...attributes, 'db.operation.batch.size': served.length } },
    error,
  )
}

const nameOf = (operation: string): string => `PostgreSQL ${operation}`

const optionsOf = (operation: string) => ({
  kind: SpanKind.CLIENT,
  attributes: { 'db.system.name': 'postgresql', 'db.operation.name': operation },
})
