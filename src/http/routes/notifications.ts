// /api/notifications: the caller's inbox, and which notifications the caller wants.
import { Type } from '@sinclair/typebox'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import type { Reads } from '../../db/reads.ts'
import {
  listNotifications,
  readAllNotifications,
  readNotification,
  type AllRead,
} from '../../domain/notifications/inbox.ts'
import { changePreferences, getPreferences } from '../../domain/notifications/preferences.ts'
import type { KeptAnswers } from '../kept-answers.ts'
import { openPager, pageOf, pageParameters } from '../page.ts'
import { Flag } from '../query.ts'
import { bodyTag, mutate, ok } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'
import { Notification, Preferences, PreferencesPatch } from '../../model/notification.ts'
import { Id, Instant, Nullable } from '../../model/scalar.ts'

const unreadCount = Type.Integer({ minimum: 0 })
const Notifications = Type.Composite([pageOf(Notification), Type.Object({ unreadCount })])
const ReadAll = Type.Object({ upTo: Nullable(Instant()), unreadCount })

const listQuery = Type.Object(
  {
    unread: Type.Optional(Flag('true: only unread notifications; false: only read ones')),
    ...pageParameters,
  },
  { additionalProperties: false },
)

const detail = describedIn('Notifications')

const renderPreferences = (preferences: Preferences) => bodyTag(ok(preferences))

interface NotificationDeps {
  config: Config
  db: CallerDatabase
  reads: Pick<Reads, 'heads'>
  kept: KeptAnswers
  publisher: Publisher
}

export const notificationRoutes = (deps: NotificationDeps) => {
  const pager = openPager(deps)
  return new RouteGroup('/api/notifications')
    .get(
      '',
      (context) => {
        const isUnread = context.query.unread === undefined ? null : context.query.unread === 'true'
        return pager.answer(context, (slice) => listNotifications(deps, context.actor, isUnread, slice))
      },
      {
        query: listQuery,
        response: { 200: Notifications },
        detail: detail('List notifications, newest first'),
      },
    )
    .post(
      '/:id/read',
      (context) =>
        mutate(
          context,
          (notification: Notification) => bodyTag(ok(notification)),
          (write) => readNotification(deps, write, context.params.id),
        ),
      {
        params: Type.Object({ id: Id() }),
        response: { 200: Notification },
        detail: detail('Mark a notification as read', { idempotent: true }),
      },
    )
    .post(
      '/read-all',
      (context) =>
        mutate(
          context,
          (all: AllRead) => bodyTag(ok(all)),
          (write) => readAllNotifications(deps, write),
        ),
      { response: { 200: ReadAll }, detail: detail('Mark all notifications as read', { idempotent: true }) },
    )
    .get('/preferences', async ({ actor }) => renderPreferences(await getPreferences(deps, actor)), {
      response: { 200: Preferences },
      detail: detail('Read which notifications the caller wants'),
    })
    .patch(
      '/preferences',
      (context) =>
        mutate(context, renderPreferences, (write) => changePreferences(deps, write, context.body)),
      {
        body: PreferencesPatch,
        response: { 200: Preferences },
        detail: detail('Change which notifications the caller wants; null sets the default', {
          idempotent: true,
        }),
      },
    )
}
