// Notifications in a user's inbox. The worker creates one for each cause.
import { Type, type Static } from '@sinclair/typebox'
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
