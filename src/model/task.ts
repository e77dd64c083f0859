// Schemas of tasks, of the bodies that write them, and of shares. They are built from the description in
// `task-fields.ts`. Overdue is derived from `dueAt` and `status` and not stored.
import { Kind, Type, type Static, type TSchema, type TUnsafe } from '@sinclair/typebox'
import { ClientId, Id, Instant, Word } from './scalar.ts'
import {
  fieldNames,
  optionalFields,
  requiredFields,
  taskFields,
  type FieldDescription,
  type FieldKind,
  type FieldName,
  type FieldValue,
  type OptionalField,
} from './task-fields.ts'
import { Text } from './text.ts'
import { AvatarUrl, GivenEmail, Name, namesOnePerson } from './user.ts'

/** In the order lists sort them. */
export const statuses = taskFields.status.words
export type Status = (typeof statuses)[number]

/** In the order lists sort them. */
export const priorities = taskFields.priority.words
export type Priority = (typeof priorities)[number]

/** Deepest level of subtasks; a root is 1. */
export const maxDepth = 3

export const Tag = Text({ minLength: 1, maxLength: 50, pathSegment: true, examples: ['docs'] })
export const Tags = Type.Unsafe<string[]>(Type.Array(Tag, { maxItems: 20 }))

/** The schemas of values by kind, null aside. */
const schemasByKind: Record<FieldKind, (field: FieldDescription) => TSchema> = {
  id: () => Id(),
  text: ({ minLength, maxLength = 0, keepsSpace, examples }) =>
    Text({
      ...(minLength !== undefined && { minLength }),
      maxLength,
      ...(keepsSpace && { keepsSpace }),
      ...(examples !== undefined && { examples }),
    }),
  word: ({ words = [] }) => Word(...words),
  instant: () => Instant(),
  tags: () => Tags,
  rank: () => Type.String({ description: 'Base-62 fractional key, compared by bytes' }),
  count: () => Type.Integer({ minimum: 0 }),
  version: () => Type.Integer({ minimum: 1 }),
}

const orNull = (schema: TSchema): TSchema =>
  schema[Kind] === 'Union' ? schema : Type.Union([schema, Type.Null()])

const schemaOf = (name: FieldName): TSchema => {
  const field: FieldDescription = taskFields[name]
  const schema = schemasByKind[field.kind](field)
  return field.default === null ? orNull(schema) : schema
}

type Properties<N extends FieldName> = { [F in N]: TUnsafe<FieldValue<F>> }

const propertiesOf = <N extends FieldName>(names: readonly N[]): Properties<N> =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- schema and type follow from the same description
  Object.fromEntries(names.map((name) => [name, schemaOf(name)])) as Properties<N>

export const Task = Type.Object(propertiesOf(fieldNames), { additionalProperties: false })
export type Task = Static<typeof Task>

export const Status = Task.properties.status
export const Priority = Task.properties.priority

const required = propertiesOf(requiredFields)
const optional = Type.Partial(Type.Object(propertiesOf(optionalFields))).properties

/** Valid for every user: without ids of tasks and people. */
const exampleFields = {
  title: 'Write the launch plan',
  status: 'todo',
  priority: 'high',
  dueAt: '2030-11-20T10:00:00.000Z',
  tags: ['docs'],
}

export const NewTask = Type.Object(
  {
    id: Type.Optional(ClientId('A UUIDv7 made by the client')),
    projectId: Type.Optional(Id('Default: the Inbox')),
    ...required,
    ...optional,
  },
  { additionalProperties: false, examples: [exampleFields] },
)
export type NewTask = Static<typeof NewTask>

/** PUT: absent fields take their defaults. */
export const TaskReplacement = Type.Object(
  { ...required, ...optional },
  { additionalProperties: false, examples: [exampleFields] },
)
export type TaskReplacement = Static<typeof TaskReplacement>

type NullableProperties = { [F in OptionalField]: TUnsafe<FieldValue<F> | null> }

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as in propertiesOf
const nullable = Object.fromEntries(
  optionalFields.map((name) => [name, orNull(schemaOf(name))]),
) as NullableProperties

/** RFC 7396 merge patch: null sets the default. */
export const TaskPatch = Type.Partial(Type.Object({ ...required, ...nullable }), {
  additionalProperties: false,
  minProperties: 1,
  examples: [{ status: 'done', dueAt: null }],
})
export type TaskPatch = Static<typeof TaskPatch>

/** The target of a move: before or after another task, or last. Default: in the same project. */
export const TaskMove = Type.Object(
  { projectId: Type.Optional(Id()), before: Type.Optional(Id()), after: Type.Optional(Id()) },
  { additionalProperties: false, not: { required: ['before', 'after'] }, examples: [{}] },
)
export type TaskMove = Static<typeof TaskMove>

export const Share = Type.Object(
  {
    taskId: Id(),
    userId: Id(),
    name: Name,
    avatarUrl: AvatarUrl,
    permission: Word('view', 'edit'),
    createdAt: Instant(),
  },
  { additionalProperties: false },
)
export type Share = Static<typeof Share>

export const Permission = Word('view', 'edit')

export const NewShare = Type.Object(
  { email: Type.Optional(GivenEmail), userId: Type.Optional(Id()), permission: Permission },
  {
    additionalProperties: false,
    ...namesOnePerson,
    examples: [{ email: 'ada@example.com', permission: 'view' }],
  },
)
export type NewShare = Static<typeof NewShare>

export const SharePatch = Type.Object({ permission: Permission }, { additionalProperties: false })
export type SharePatch = Static<typeof SharePatch>
