// What schemas cannot say: which ids exist, whose password it is, which cursors continue what. A hint is drawn for most
// values, so that requests reach beyond validation; the rest is drawn from the schema alone.
import type { Draws } from './draws.ts'
import type { Operation } from './document.ts'
import type { Kind, Person } from './people.ts'
import type { Hint } from './values.ts'

/** The kind of the thing that a path parameter names. */
export const kindOfParameter = ({ template }: Pick<Operation, 'template'>, name: string): Kind | null => {
  if (name === 'userId') return 'user'
  if (name === 'tag') return 'tag'
  const collection = new RegExp(`/(\\w+)/\\{${name}\\}`).exec(template)?.[1] ?? ''
  return kindsByCollection[collection] ?? null
}

const kindsByCollection: Record<string, Kind> = {
  projects: 'project',
  tasks: 'task',
  comments: 'comment',
  attachments: 'attachment',
  users: 'user',
  sessions: 'session',
  tokens: 'token',
  notifications: 'notification',
  invitations: 'invitation',
}

const kindsByMember: Record<string, Kind> = {
  projectId: 'project',
  parentId: 'task',
  taskId: 'task',
  assigneeId: 'user',
  creatorId: 'user',
  actorId: 'user',
  userId: 'user',
  'mentions[]': 'user',
  'ids[]': 'task',
  before: 'task',
  after: 'task',
  'tag[]': 'tag',
}

export interface HintDeps {
  draws: Draws
  operation: Operation
  caller: Person | null
  everyone: readonly Person[]
}

/** An id that the caller has seen, or that exists for another user. */
export const idOf = (
  { draws, caller, everyone }: Pick<HintDeps, 'draws' | 'caller' | 'everyone'>,
  kind: Kind,
): string | undefined => {
  const own = caller?.things.of(kind) ?? []
  const known = own.length > 0 && draws.chance(0.9) ? own : draws.pick(everyone).things.of(kind)
  return known.length > 0 ? draws.pick(known) : undefined
}

export const hintsFor = (deps: HintDeps): Hint => {
  const { draws, operation, caller, everyone } = deps
  const isNew = /register|POST \/api\/users$|POST \/api\/invitations/.test(operation.name)
  return (name, schema) => {
    // In queries these are instants.
    const kind = schema.format === 'date-time' ? undefined : kindsByMember[name]
    if (kind) return idOf(deps, kind)
    switch (name) {
      case 'id':
        // Of an operation of a batch; a new id for a creation.
        return schema.format === 'uuid' ? idOf(deps, 'task') : Bun.randomUUIDv7()
      case 'email':
        if (schema.type !== 'string') return undefined // a channel of notifications
        return isNew
          ? `fuzz-${Bun.randomUUIDv7()}@example.com`
          : operation.name === 'POST /api/auth/login'
            ? caller?.email
            : draws.pick(everyone).email
      case 'password':
        return /login|DELETE/.test(operation.name) ? caller?.password : 'correct horse battery staple'
      case 'currentPassword':
        return caller?.password
      case 'refreshToken':
        return caller?.refreshToken
      case 'search':
      case 'q':
        return draws.pick(['fuzz', 'a', 'e', 'plan', 'é', '日本', 'Fuzz 1', 'x y z', '😀'])
      case 'expiresAt':
        return draws.pick(['2099-01-01T00:00:00Z', '2031-06-01T12:00:00.5+02:00'])
      case 'wait':
        return draws.pick([0, 0, 0, 1])
      case 'limit':
        return draws.pick([1, 2, 5, 20, 100])
      case 'page':
        return draws.pick([1, 2, 3, 100])
      case 'ifVersion':
        return draws.pick([1, 2, 3, Number.MAX_SAFE_INTEGER])
      case 'If-Match':
      case 'If-None-Match':
        return draws.pick([
          ...(caller?.things.of('etag') ?? []),
          '*',
          '"1"',
          'W/"2"',
          '"1", "2"',
          '"1-gzip"',
          'none',
          '"é',
        ])
      case 'Idempotency-Key':
        return `fuzz-${draws.between(1, 1e9)}`
      default:
        return undefined
    }
  }
}
