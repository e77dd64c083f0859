// Activity: what was changed in a project, by whom, from what to what. The worker makes it from the log.
import { Type, type Static } from '@sinclair/typebox'
import { Id, Instant, Nullable, Word } from './scalar.ts'
import { PublicUser } from './user.ts'

/** Types of log entries that become activity, and the reading of a project by the right of admins alone. */
export const activityTypes = [
  'task.created',
  'task.updated',
  'task.deleted',
  'comment.created',
  'comment.updated',
  'comment.deleted',
  'attachment.added',
  'attachment.removed',
  'share.added',
  'share.removed',
  'member.added',
  'member.updated',
  'member.removed',
  'project.created',
  'project.updated',
  'project.deleted',
  'project.read',
] as const
export type ActivityType = (typeof activityTypes)[number]

export const Activity = Type.Object(
  {
    id: Id(),
    type: Word(...activityTypes),
    actor: Type.Union([PublicUser, Type.Null()], {
      description: 'Null for the system and for a deleted account',
    }),
    projectId: Id('The project in which it happened'),
    taskId: Nullable(Id('The task it is about')),
    entityId: Id('The task, comment, attachment or project; the person of a share or membership'),
    changes: Type.Record(
      Type.String(),
      Type.Object({ from: Type.Unknown(), to: Type.Unknown() }, { additionalProperties: false }),
      {
        description: 'By field; a text of more than 256 characters is `{length}`',
        examples: [{ status: { from: 'todo', to: 'done' } }],
      },
    ),
    override: Type.Boolean({ description: 'Whether an admin acted by the right of admins alone' }),
    createdAt: Instant(),
  },
  { additionalProperties: false },
)
export type Activity = Static<typeof Activity>
