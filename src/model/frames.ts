// The frames of `tasktide.v1` as schemas, and the close codes: the only definition of what a socket carries. Types, the
// AsyncAPI document and the validation of every frame in the tests are derived from it. Clients and server ignore
// members they do not know.
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { Attachment, RemovedAttachment } from './attachment.ts'
import { Comment } from './comment.ts'
import type { EventType } from './event.ts'
import { Notification } from './notification.ts'
import { Member, MemberRole, ProjectEntry } from './project.ts'
import { Id, Instant, Nullable, Word } from './scalar.ts'
import { Event } from './sync.ts'
import { ProjectCounts } from './statistics.ts'
import { Share, Task } from './task.ts'
import { User } from './user.ts'

export const subprotocol = 'tasktide.v1'

/** 1xxx and 40xx: reconnect with the cursor. 44xx: with new credentials. 45xx: do not reconnect. */
export const closeCodes = {
  restart: 1012,
  overloaded: 1013,
  server_error: 4000,
  slow_consumer: 4008,
  position_lost: 4010,
  no_hello: 4012,
  token_expired: 4401,
  revoked: 4403,
  too_many_connections: 4409,
  too_fast: 4429,
  protocol_violation: 4500,
  version_unsupported: 4505,
  subprotocol_missing: 4510,
} as const
export type CloseReason = keyof typeof closeCodes

const Rid = Type.Union([Type.Integer(), Type.String({ maxLength: 64 })], {
  description: 'Chosen by the client; the response repeats it',
  examples: [1],
})
export type Rid = Static<typeof Rid>

const Scope = Type.String({
  minLength: 1,
  description: '`project:<id>` or `user:<id>`; clients may send `user:me`',
  examples: ['project:01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42'],
})
const Cursor = Type.String({ minLength: 1, maxLength: 100, examples: ['k3v9x1q8.11.4711'] })
const Token = Type.String({ description: 'An access token' })
const Milliseconds = Type.Integer({ minimum: 0 })
const Key = Type.String({
  minLength: 1,
  description: '`project:<id>` or `task:<id>`',
  examples: ['task:01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42'],
})
const SignalKind = Word('typing', 'viewing', 'cursor')

const frame = <const T extends string, P extends Record<string, TSchema>>(
  t: T,
  fields: P,
  description: string,
) => Type.Object({ t: Type.Literal(t), ...fields }, { description })

export const clientFrames = {
  hello: frame('hello', { token: Token }, 'The first frame, if the upgrade carried no credentials'),
  sub: frame(
    'sub',
    { rid: Rid, scope: Scope, cursor: Type.Optional(Nullable(Type.Unsafe<string>(Cursor))) },
    'Subscribe to a scope after a cursor; without one, from now on',
  ),
  unsub: frame('unsub', { rid: Rid, scope: Scope }, 'End a subscription'),
  auth: frame('auth', { rid: Rid, token: Token }, 'A new token of the same user'),
  watch: frame(
    'watch',
    { rid: Rid, key: Key },
    'Watch the presence of a project or task, and be present there',
  ),
  unwatch: frame('unwatch', { rid: Type.Optional(Rid), key: Key }, 'End a watch'),
  signal: frame(
    'signal',
    { rid: Type.Optional(Rid), key: Key, kind: SignalKind, data: Type.Optional(Type.Object({})) },
    'Send a signal, which is not stored, to the other watchers; `data` is at most 1 KiB',
  ),
  ping: frame('ping', { ts: Type.Optional(Type.Number()) }, 'Every 25 s'),
}

export type ClientFrame = Static<(typeof clientFrames)[keyof typeof clientFrames]>

const resyncReasons = ['too_old', 'epoch', 'ahead', 'gap', 'access'] as const

/** Why a client cannot continue from its cursor: it reads the snapshot and joins with the cursor of that. */
export type ResyncReason = (typeof resyncReasons)[number]

export const serverFrames = {
  welcome: frame(
    'welcome',
    {
      connection: Id(),
      user: Id(),
      expiresAt: Instant('When the token expires; 30 s later the socket is closed with 4401'),
      heartbeat: Type.Object(
        { ping: Milliseconds, position: Milliseconds, dead: Milliseconds },
        { examples: [{ ping: 25_000, position: 15_000, dead: 40_000 }] },
      ),
      limits: Type.Unsafe<Readonly<Record<string, number>>>(Type.Record(Type.String(), Type.Integer())),
    },
    'The socket is open and authenticated as `user`',
  ),
  sub: frame(
    'sub',
    {
      rid: Rid,
      scope: Scope,
      mode: Word('resume', 'fresh'),
      cursor: Cursor,
      replay: Type.Integer({ minimum: 0, description: 'Events that follow before `synced`' }),
    },
    'Subscribed: the events after `cursor` follow',
  ),
  synced: frame(
    'synced',
    { scope: Scope, cursor: Cursor },
    'Missed events have been sent; the subscription is live',
  ),
  event: Type.Object(Event.properties, { description: 'An entry of the log' }),
  position: frame(
    'position',
    { scope: Scope, cursor: Cursor, count: Type.Integer({ minimum: 0 }) },
    'Everything up to `cursor` was sent, in `count` events since this `sub`',
  ),
  resync: frame(
    'resync',
    {
      scope: Scope,
      rid: Type.Optional(Rid),
      reason: Word(...resyncReasons),
      snapshot: Type.String({ description: 'Path to read; then `sub` with its cursor' }),
    },
    'The cursor cannot be resumed; the subscription has ended',
  ),
  access: frame(
    'access',
    { scope: Scope, cursor: Cursor, op: Word('revoked') },
    'Access to the scope was revoked: delete its data. The subscription has ended',
  ),
  presence: frame(
    'presence',
    {
      key: Key,
      users: Type.Optional(Type.Array(Id(), { description: 'All users present' })),
      joined: Type.Optional(Type.Array(Id(), { description: 'Users who joined since the frame before' })),
      left: Type.Optional(Type.Array(Id(), { description: 'Users who left since the frame before' })),
      count: Type.Integer({ minimum: 0 }),
    },
    'Users present, joined and left; above 200 users only `count`',
  ),
  signal: frame(
    'signal',
    { key: Key, kind: SignalKind, user: Id(), data: Type.Optional(Type.Unknown()) },
    'A signal of another watcher; not stored',
  ),
  pong: frame(
    'pong',
    { ts: Nullable(Type.Unsafe<number>(Type.Number())), now: Milliseconds },
    'The response to `ping`, with the time of the server',
  ),
  ok: frame('ok', { rid: Rid }, 'The request succeeded'),
  error: frame(
    'error',
    {
      rid: Type.Optional(Rid),
      key: Type.Optional(Type.Unsafe<string>({ ...Key, description: 'The watch that has ended' })),
      code: Word('bad_frame', 'unknown_type', 'forbidden', 'not_found', 'limit', 'rate', 'token'),
      retryAfter: Type.Optional(Type.Integer({ minimum: 1, description: 'Seconds' })),
    },
    'A request that failed. The socket stays open',
  ),
  bye: frame(
    'bye',
    {
      code: Type.Integer({
        description: `The code of the close that follows: ${closeCodes.restart}, ${closeCodes.overloaded}`,
        examples: [closeCodes.restart],
      }),
      reconnectAfter: Type.Tuple([Milliseconds, Milliseconds], {
        description: 'Reconnect after a random time between these bounds',
        examples: [[0, 10_000]],
      }),
    },
    'The process is stopping or overloaded; a close follows',
  ),
}

export type ServerFrame = Static<(typeof serverFrames)[keyof typeof serverFrames]>

/** The schema of `data` by event type. Deletions and `scope.refetch` have none. */
export const eventData: Partial<Record<EventType, TSchema>> = {
  'task.created': Task,
  'task.updated': Task,
  'comment.created': Comment,
  'comment.updated': Comment,
  'attachment.added': Attachment,
  'attachment.removed': RemovedAttachment,
  'project.created': ProjectEntry,
  'project.updated': ProjectEntry,
  'member.added': Member,
  'member.updated': Member,
  'member.removed': Type.Object({ userId: Id() }),
  'share.added': Share,
  'share.removed': Type.Object({ taskId: Id(), userId: Id() }),
  'user.updated': User,
  'notification.created': Notification,
  'notification.read': Type.Union([
    Notification,
    Type.Object({ upTo: Instant('Every notification created until then is read') }),
  ]),
  'stats.updated': ProjectCounts,
  'access.granted': Type.Object({ projectId: Id(), role: MemberRole }),
  'access.revoked': Type.Object({ projectId: Id(), role: Type.Null() }),
}
