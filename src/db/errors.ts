// The one place where a driver or PostgreSQL error becomes an AppError. Constraints are mapped by their name in sql/,
// other errors by SQLSTATE; an error in neither table is a bug and passes through unchanged. The error of a violated
// constraint has no cause: PostgreSQL's detail quotes the offending value.
import { AppError, invalid, unavailable } from '../errors.ts'

const unusable = (pointer: string): AppError =>
  invalid({ pointer, detail: 'is not something you can use here' })

/** Constraint name in sql/ → the error that is returned. Only constraints that a request can violate are here. */
const constraints: Record<string, () => AppError> = {
  users_email_key: () => new AppError('email_taken'),
  users_email_is_lower_case: () =>
    invalid({ pointer: '/email', detail: 'has letters that are unsafe in an address' }),
  // Created by another request since the id was looked up.
  tasks_pkey: () => new AppError('id_taken'),
  // The row existed in an earlier statement of the transaction and was deleted since.
  tasks_project_fkey: () => unusable('/projectId'),
  tasks_parent_fkey: () => unusable('/parentId'),
  tasks_assignee_fkey: () => unusable('/assigneeId'),
  // The caller's account was deleted during the request.
  idempotency_keys_user_fkey: () => new AppError('unauthenticated'),
  tasks_creator_fkey: () => new AppError('unauthenticated'),
  notification_preferences_user_fkey: () => new AppError('unauthenticated'),
  comments_author_fkey: () => new AppError('unauthenticated'),
  attachments_uploader_fkey: () => new AppError('unauthenticated'),
  attachments_task_fkey: () => new AppError('not_found'),
  members_pkey: () => new AppError('already_member'),
  members_user_fkey: () => new AppError('user_not_found'),
  shares_pkey: () => new AppError('already_shared'),
  shares_user_fkey: () => new AppError('user_not_found'),
}

/** For the test that compares the names with the schema. */
export const mappedConstraints: readonly string[] = Object.keys(constraints)

const unstorable = (): AppError =>
  new AppError('validation_failed', 'The text contains a character that cannot be stored')

/** SQLSTATE, or its class of two characters → the error that is returned. */
const states: Record<string, (cause: unknown) => AppError> = {
  '08': unavailable, // connection exceptions
  '22021': unstorable, // NUL in text
  '22P05': unstorable, // \u0000 or half a surrogate pair in jsonb
  '25P03': unavailable, // idle_in_transaction_session_timeout ended the session
  '28': unavailable, // the password or the role was changed under the process
  '3D000': unavailable, // the database is being replaced
  '53': unavailable, // connections, memory or disk exhausted
  '55P03': unavailable, // lock_timeout
  '57014': unavailable, // statement_timeout
  '57P01': unavailable, // terminated by an administrator or a fast restart
  '57P02': unavailable, // another backend crashed
  '57P03': unavailable, // starting up or shutting down
  '57P05': unavailable, // idle_session_timeout
  '40001': unavailable, // still conflicting after every retry
  '40P01': unavailable,
}

/** Codes of the driver and of sockets for a connection that is lost or could not be opened. */
const lost = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
])

const textAt = (error: unknown, key: string): string => {
  const value: unknown = error instanceof Error ? Reflect.get(error, key) : undefined
  return typeof value === 'string' ? value : ''
}

/** SQLSTATE or driver code, empty when there is none. */
export const codeOf = (error: unknown): string => textAt(error, 'code')

/** Whether the connection is gone or could not be made: the statement may or may not have run. */
export const isConnectionLost = (error: unknown): boolean => {
  const code = codeOf(error)
  // A missing unix socket is ENOENT, which outside `connect` is the code of any missing file.
  if (code === 'ENOENT') return textAt(error, 'syscall') === 'connect'
  return lost.has(code) || code.startsWith('08') || /^57P0[123]$/.test(code)
}

/** The deadline of a call passed while its statements ran. */
export class CallTimeout extends Error {
  override readonly name = 'CallTimeout'
}

/** Whether work took longer than it may: the timeout of a statement, or the deadline of its call. Locks end by another code. */
export const hasTimedOut = (error: unknown): boolean => {
  const cause = error instanceof AppError ? error.cause : error
  return cause instanceof CallTimeout || codeOf(cause) === '57014'
}

/**
 * Whether PostgreSQL rolled the transaction back because of a concurrent one, so that a retry is correct: a deadlock, or a
 * task that another request created under the same id, which the retry sees.
 */
export const isConflict = (error: unknown): boolean =>
  /^40(?:001|P01)$/.test(codeOf(error)) || textAt(error, 'constraint_name') === 'tasks_pkey'

/** The AppError for an error of a statement, a transaction or a connection; other errors are returned unchanged. */
export const translate = (error: unknown): unknown => {
  if (error instanceof AppError) return error
  const code = codeOf(error)
  const constraint = constraints[textAt(error, 'constraint_name')]
  if (constraint) return constraint()
  const state = states[code] ?? (/^[0-9A-Z]{5}$/.test(code) ? states[code.slice(0, 2)] : undefined)
  if (state) return state(error)
  if (isConnectionLost(error)) return unavailable(error)
  return /^2[23]/.test(code) ? withoutValues(error, code) : error
}

/** For bugs: errors of data (22) and of constraints (23) quote values in message and detail, so both are dropped. */
const withoutValues = (error: unknown, code: string): Error => {
  const named = ['constraint_name', 'table_name', 'column_name']
    .map((key) => textAt(error, key))
    .filter(Boolean)
  return Object.assign(new Error(`PostgreSQL refused a statement: ${[code, ...named].join(' ')}`), { code })
}
