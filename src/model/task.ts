// Tasks and the shapes that write them. Overdue is derived from `dueAt` and `status`, never stored.
import { Type, type Static } from '@sinclair/typebox'
import { ClientId, Id, Instant, Nullable, Word } from './scalar.ts'
import { Text } from './text.ts'
import { Email } from './user.ts'

/** In the order lists sort them. */
export const statuses = ['todo', 'in_progress', 'done', 'cancelled'] as const
export const Status = Word(...statuses)
export type Status = (typeof statuses)[number]

/** In the order lists sort them. */
export const priorities = ['low', 'medium', 'high', 'urgent'] as const
export const Priority = Word(...priorities)
export type Priority = (typeof priorities)[number]

/** Deepest level of subtasks; a root is 1. */
export const maxDepth = 3

export const Title = Text({ minLength: 1, maxLength: 255, examples: ['Write the launch plan'] })
export const Description = Text({ maxLength: 10_000 })
export const Tag = Text({ minLength: 1, maxLength: 50, pathSegment: true, examples: ['docs'] })
export const Tags = Type.Unsafe<string[]>(Type.Array(Tag, { maxItems: 20 }))
export const Rank = Type.String({ description: 'Base-62 fractional key, compared by bytes' })

export const Task = Type.Object(
  {
    id: Id(),
    projectId: Id(),
    parentId: Nullable(Id()),
    title: Title,
    description: Description,
    status: Status,
    priority: Priority,
    assigneeId: Nullable(Id()),
    creatorId: Nullable(Id()),
    dueAt: Nullable(Instant()),
    tags: Tags,
    rank: Rank,
    completedAt: Nullable(Instant()),
    commentCount: Type.Integer({ minimum: 0 }),
    attachmentCount: Type.Integer({ minimum: 0 }),
    version: Type.Integer({ minimum: 1 }),
    createdAt: Instant(),
    updatedAt: Instant(),
  },
  { additionalProperties: false },
)
export type Task = Static<typeof Task>

/** The fields a client may write. */
export const writableFields = [
  'title',
  'description',
  'status',
  'priority',
  'assigneeId',
  'parentId',
  'dueAt',
  'tags',
] as const satisfies (keyof Task)[]

/** Their values after defaults and normalisation. */
export type TaskFields = Pick<Task, (typeof writableFields)[number]>

export const taskDefaults = {
  description: '',
  status: 'todo',
  priority: 'medium',
  assigneeId: null,
  parentId: null,
  dueAt: null,
  tags: [],
} satisfies Omit<TaskFields, 'title'>

const optional = {
  description: Type.Optional(Description),
  status: Type.Optional(Status),
  priority: Type.Optional(Priority),
  assigneeId: Type.Optional(Nullable(Id())),
  parentId: Type.Optional(Nullable(Id())),
  dueAt: Type.Optional(Nullable(Instant())),
  tags: Type.Optional(Tags),
}

export const NewTask = Type.Object(
  {
    id: Type.Optional(ClientId('A UUIDv7 made by the client')),
    projectId: Type.Optional(Id('Default: the Inbox')),
    title: Title,
    ...optional,
  },
  { additionalProperties: false },
)
export type NewTask = Static<typeof NewTask>

/** PUT: absent fields take their defaults. */
export const TaskReplacement = Type.Object({ title: Title, ...optional }, { additionalProperties: false })
export type TaskReplacement = Static<typeof TaskReplacement>

/** RFC 7396 merge patch: null sets the default. */
export const TaskPatch = Type.Object(
  {
    title: Type.Optional(Title),
    description: Type.Optional(Nullable(Description)),
    status: Type.Optional(Nullable(Status)),
    priority: Type.Optional(Nullable(Priority)),
    assigneeId: Type.Optional(Nullable(Id())),
    parentId: Type.Optional(Nullable(Id())),
    dueAt: Type.Optional(Nullable(Instant())),
    tags: Type.Optional(Nullable(Tags)),
  },
  { additionalProperties: false, minProperties: 1 },
)
export type TaskPatch = Static<typeof TaskPatch>

/** Where a task goes: before or after another, or last; default: within its project. */
export const TaskMove = Type.Object(
  { projectId: Type.Optional(Id()), before: Type.Optional(Id()), after: Type.Optional(Id()) },
  { additionalProperties: false },
)
export type TaskMove = Static<typeof TaskMove>

export const Share = Type.Object(
  {
    taskId: Id(),
    userId: Id(),
    name: Type.String(),
    avatarUrl: Nullable(Type.Unsafe<string>(Type.String())),
    permission: Word('view', 'edit'),
    createdAt: Instant(),
  },
  { additionalProperties: false },
)
export type Share = Static<typeof Share>

export const Permission = Word('view', 'edit')

/** Exactly one of `email` and `userId`. */
export const NewShare = Type.Object(
  { email: Type.Optional(Email), userId: Type.Optional(Id()), permission: Permission },
  { additionalProperties: false },
)
export type NewShare = Static<typeof NewShare>

export const SharePatch = Type.Object({ permission: Permission }, { additionalProperties: false })
export type SharePatch = Static<typeof SharePatch>
