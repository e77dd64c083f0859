// The whole HTTP server on one Elysia instance, not listening: every route group, and the WebSocket upgrade. Bun's socket
// handlers are passed to `listen`, not to Elysia.
import { Type } from '@sinclair/typebox'
import type { Server } from 'bun'
import type { Deps } from './deps.ts'
import { asyncApiRoutes } from '../http/openapi/asyncapi.ts'
import { mountRoutes } from '../http/mount.ts'
import { openApiRoutes } from '../http/openapi/openapi.ts'
import { describedIn } from '../http/route.ts'
import { RouteGroup, type DeclaredRoute } from '../http/route-group.ts'
import { accountLinkRoutes } from '../http/routes/account-links.ts'
import { accountRoutes } from '../http/routes/accounts.ts'
import { activityRoutes } from '../http/routes/activity.ts'
import { adminDeadLetterRoutes } from '../http/routes/admin-dead-letters.ts'
import { adminQueueRoutes } from '../http/routes/admin-queues.ts'
import { attachmentRoutes } from '../http/routes/attachments.ts'
import { avatarRoutes } from '../http/routes/avatars.ts'
import { authRoutes } from '../http/routes/auth.ts'
import { commentRoutes } from '../http/routes/comments.ts'
import { docsRoutes } from '../http/routes/docs.ts'
import { healthRoutes } from '../http/routes/health.ts'
import { invitationRoutes } from '../http/routes/invitations.ts'
import { liveBoardRoutes } from '../http/routes/live-board.ts'
import { memberRoutes } from '../http/routes/members.ts'
import { metricsRoutes } from '../http/routes/metrics.ts'
import { notificationRoutes } from '../http/routes/notifications.ts'
import { personalTokenRoutes } from '../http/routes/personal-tokens.ts'
import { problemRoutes } from '../http/routes/problems.ts'
import { pageRoutes } from '../http/routes/pages.ts'
import { projectRoutes } from '../http/routes/projects.ts'
import { shareRoutes } from '../http/routes/shares.ts'
import { snapshotRoutes } from '../http/routes/snapshots.ts'
import { syncRoutes } from '../http/routes/sync.ts'
import { taskBatchRoutes } from '../http/routes/task-batch.ts'
import { taskListRoutes } from '../http/routes/task-list.ts'
import { taskStatsRoutes } from '../http/routes/task-stats.ts'
import { taskRoutes } from '../http/routes/tasks.ts'
import { unsubscribeRoutes } from '../http/routes/unsubscribe.ts'
import { userRoutes } from '../http/routes/users.ts'
import { addressKey } from '../limits/address-key.ts'
import type { Connection } from '../ws/connection.ts'
import type { Sockets } from '../ws/sockets.ts'

/** @returns an app for `listen` with `sockets.handlers`, and its routes. */
export const createApp = (deps: Deps, sockets: Sockets) => {
  const groups: RouteGroup[] = []
  const routesOf = (): DeclaredRoute[] => groups.flatMap(({ routes }) => routes)
  const socketRoute = new RouteGroup().get(
    '/api/ws',
    (context) =>
      sockets.upgrade(
        context.request,
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Elysia types the server by its own sockets; these are the handlers of Sockets
        app.server as unknown as Server<Connection>,
        {
          address: addressKey(context.ip),
          requestId: context.id,
          note: (policy, state) => (context.rateLimit = { policy, state }),
        },
      ),
    {
      response: { 101: Type.Void() },
      detail: describedIn('Log')('Upgrade to a WebSocket speaking tasktide.v1 (docs/protocol.md)', {
        access: 'public', // the socket authenticates its connections itself
        rateLimit: 'own',
        errors: ['unauthenticated', 'token_expired', 'origin_refused', 'user_disabled'],
      }),
    },
  )
  groups.push(
    healthRoutes(deps),
    metricsRoutes(deps),
    openApiRoutes(routesOf),
    asyncApiRoutes(),
    ...(deps.config.apiDocs ? [docsRoutes(), liveBoardRoutes()] : []),
    problemRoutes(),
    pageRoutes(),
    authRoutes(deps),
    personalTokenRoutes(deps),
    userRoutes(deps),
    accountRoutes(deps),
    accountLinkRoutes(deps),
    avatarRoutes(deps),
    invitationRoutes(deps),
    syncRoutes(deps),
    snapshotRoutes(deps),
    projectRoutes(deps),
    taskRoutes(deps),
    taskListRoutes(deps),
    taskStatsRoutes(deps),
    taskBatchRoutes(deps),
    memberRoutes(deps),
    shareRoutes(deps),
    attachmentRoutes(deps),
    commentRoutes(deps),
    notificationRoutes(deps),
    unsubscribeRoutes(deps),
    activityRoutes(deps),
    ...adminQueueRoutes(deps),
    ...adminDeadLetterRoutes(deps),
    socketRoute,
  )
  const app = mountRoutes(deps, groups)
  return { app, routes: routesOf() }
}
