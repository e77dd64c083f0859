// Notifications in a user's inbox, of which the worker creates one for each cause, and which of them a user wants.
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { Id, Instant, Nullable, Word } from './scalar.ts'
import { PublicUser } from './user.ts'

export const notificationKinds = [
  'assigned',
  'shared',
  'mentioned',
  'commented',
  'completed',
  'due_soon',
  'overdue',
  'project_invited',
] as const
export const NotificationKind = Word(...notificationKinds)
export type NotificationKind = (typeof notificationKinds)[number]

export const Notification = Type.Object(
  {
    id: Id(),
    kind: NotificationKind,
    taskId: Nullable(Id()),
    projectId: Nullable(Id()),
    actor: Type.Union([PublicUser, Type.Null()]),
    data: Type.Record(Type.String(), Type.Unknown()),
    readAt: Nullable(Instant()),
    createdAt: Instant(),
  },
  { additionalProperties: false },
)
export type Notification = Static<typeof Notification>

/** How a user is notified: in the inbox with its live event, and by mail. */
export const channels = ['inApp', 'email'] as const
export type Channel = (typeof channels)[number]

export const defaultDueSoonHours = 24
export const maxDueSoonHours = 168

const DueSoonHours = Type.Integer({ minimum: 1, maximum: maxDueSoonHours })

const Channels = Type.Object(
  { inApp: Type.Boolean(), email: Type.Boolean() },
  { additionalProperties: false },
)

const everyKind = <T extends TSchema>(schema: T) =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one member for each kind
  Object.fromEntries(notificationKinds.map((kind) => [kind, schema])) as Record<NotificationKind, T>

export const Preferences = Type.Object(
  {
    dueSoonHours: DueSoonHours,
    kinds: Type.Object(everyKind(Channels), { additionalProperties: false }),
  },
  { additionalProperties: false },
)
export type Preferences = Static<typeof Preferences>

const orNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

const ChannelsPatch = Type.Partial(
  Type.Object({ inApp: orNull(Type.Boolean()), email: orNull(Type.Boolean()) }),
  { additionalProperties: false },
)

/** RFC 7396 merge patch: null sets the default, of a channel, of a kind or of all kinds. */
export const PreferencesPatch = Type.Partial(
  Type.Object({
    dueSoonHours: orNull(DueSoonHours),
    kinds: orNull(
      Type.Partial(Type.Object(everyKind(orNull(ChannelsPatch))), { additionalProperties: false }),
    ),
  }),
  { additionalProperties: false, minProperties: 1 },
)
export type PreferencesPatch = Static<typeof PreferencesPatch>
