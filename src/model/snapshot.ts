// Snapshots: the state of a scope and the cursor at which it is exact. A client reads one before it subscribes.
import { Type, type Static } from '@sinclair/typebox'
import { Notification } from './notification.ts'
import { Member, Project } from './project.ts'
import { Task } from './task.ts'
import { User } from './user.ts'

const Cursor = Type.String({
  description: 'Subscribe or sync with it to receive every event after this state',
})

export const ProjectSnapshot = Type.Object(
  {
    project: Project,
    members: Type.Array(Member),
    tasks: Type.Array(Task),
    cursor: Cursor,
    nextAfter: Type.Union([Type.String(), Type.Null()], {
      description: 'Pass it as `after` to get the next page of tasks; null on the last page',
    }),
  },
  { additionalProperties: false },
)
export type ProjectSnapshot = Static<typeof ProjectSnapshot>

const SharedTask = Type.Composite([
  Task,
  Type.Object({
    omitted: Type.Optional(
      Type.Array(Type.Literal('description'), {
        description: 'The description is left out, because the tasks before fill 4 MiB: read the task',
      }),
    ),
  }),
])

export const UserSnapshot = Type.Object(
  {
    user: User,
    projects: Type.Array(Project),
    sharedTasks: Type.Array(SharedTask),
    notifications: Type.Array(Notification, { description: 'The newest 100' }),
    unreadCount: Type.Integer({ minimum: 0 }),
    cursor: Cursor,
  },
  { additionalProperties: false },
)
export type UserSnapshot = Static<typeof UserSnapshot>
