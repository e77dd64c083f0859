// The one description of a task's fields, in the order tasks are shown. Schemas, merge patches, defaults, SQL column
// lists, the content version, `changes` and the client's overlay are built from it: a field is added here, in a
// migration and nowhere else. The client bundles this file, so that it imports the form of text alone.
import { canonicalText, composedText, mergedTags } from './text-form.ts'

/** What a value is. The schema of each kind is in `task.ts`, its SQL type in `db/tasks/task-columns.ts`. */
interface Values {
  id: string
  text: string
  /** One of `words`. */
  word: string
  instant: string
  tags: string[]
  rank: string
  /** A whole number from 0. */
  count: number
  /** A whole number from 1. */
  version: number
}

export type FieldKind = keyof Values

/** One field. The column is the name in snake case. */
export interface FieldDescription {
  kind: FieldKind
  /**
   * Who writes it: clients in any creation, patch or replacement; `create` once, with the row; `move` a move;
   * `counter` the writes of what it counts; `server` only what the server derives.
   */
  writer: 'client' | 'create' | 'move' | 'counter' | 'server'
  /** The value where none is given. A field that clients write and that has none is required; null allows null. */
  default?: string | number | null | readonly []
  /** The right that changing it takes beyond that to write the task. */
  requires?: 'move'
  /** Entries of the log carry its changes. */
  isTracked?: true
  /** A change raises the content version, which If-Match is compared with. */
  isContent?: true
  /** Searches find its words. */
  isSearched?: true
  /** The values of a `word`, in the order lists sort them. */
  words?: readonly string[]
  /** Lengths of a `text`, in code points. */
  minLength?: number
  maxLength?: number
  /** Of a `text`: white space at its edges is stored. */
  keepsSpace?: true
  examples?: string[]
}

const byClient = { writer: 'client', isTracked: true, isContent: true } as const
const byServer = { writer: 'server' } as const
const counter = { kind: 'count', writer: 'counter', default: 0, isTracked: true } as const
const texts = { kind: 'text', isSearched: true } as const

export const taskFields = {
  id: { kind: 'id', writer: 'create' },
  projectId: { kind: 'id', writer: 'move', isTracked: true, isContent: true },
  parentId: { kind: 'id', ...byClient, default: null, requires: 'move' },
  title: { ...texts, ...byClient, minLength: 1, maxLength: 255, examples: ['Write the launch plan'] },
  description: { ...texts, ...byClient, default: '', maxLength: 10_000, keepsSpace: true },
  status: { kind: 'word', ...byClient, default: 'todo', words: ['todo', 'in_progress', 'done', 'cancelled'] },
  priority: { kind: 'word', ...byClient, default: 'medium', words: ['low', 'medium', 'high', 'urgent'] },
  assigneeId: { kind: 'id', ...byClient, default: null },
  creatorId: { kind: 'id', writer: 'create', default: null },
  dueAt: { kind: 'instant', ...byClient, default: null },
  tags: { kind: 'tags', ...byClient, default: [], isSearched: true },
  rank: { kind: 'rank', writer: 'move', isTracked: true },
  completedAt: { kind: 'instant', ...byServer, default: null, isTracked: true },
  commentCount: counter,
  attachmentCount: counter,
  version: { kind: 'version', ...byServer },
  createdAt: { kind: 'instant', ...byServer },
  updatedAt: { kind: 'instant', ...byServer },
} as const satisfies Record<string, FieldDescription>

type Fields = typeof taskFields
export type FieldName = keyof Fields

/** The value of a field as a task has it. */
export type FieldValue<N extends FieldName> =
  | (Fields[N] extends { words: readonly (infer W)[] } ? W : Values[Fields[N]['kind']])
  | (Fields[N] extends { default: null } ? null : never)

type NamesWith<D> = { [N in FieldName]: Fields[N] extends D ? N : never }[FieldName]

/** Fields that clients write. */
export type WritableField = NamesWith<{ writer: 'client' }>
/** Those of them that may be absent. */
export type OptionalField = NamesWith<{ writer: 'client'; default: unknown }>
export type RequiredField = Exclude<WritableField, OptionalField>
type DefaultedField = NamesWith<{ default: unknown }>
/** Columns that the row of a new task is inserted with. */
export type InsertedField = NamesWith<{ writer: 'client' | 'create' | 'move' | 'counter' }>
/** Columns that an update may change. */
export type UpdatedField = NamesWith<{ writer: 'client' | 'move' | 'counter' }>
/** How many of something a task has. */
export type CounterField = NamesWith<{ writer: 'counter' }>
export type TrackedField = NamesWith<{ isTracked: true }>
export type ContentField = NamesWith<{ isContent: true }>
export type SearchedField = NamesWith<{ isSearched: true }>

/** The fields a client may write, after defaults and normalisation. */
export type TaskFields = { [N in WritableField]: FieldValue<N> }

/** A field's name with its description. */
export type NamedField<N extends FieldName = FieldName> = [name: N, field: FieldDescription]

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of the description are its names
const entries = Object.entries(taskFields) as NamedField[]

const named = <N extends FieldName>(isWanted: (field: FieldDescription) => boolean): N[] =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each caller states the type of its condition
  entries.filter(([, field]) => isWanted(field)).map(([name]) => name) as N[]

export const fieldNames = named<FieldName>(() => true)
export const writableFields = named<WritableField>(({ writer }) => writer === 'client')
export const requiredFields = named<RequiredField>(
  ({ writer, default: value }) => writer === 'client' && value === undefined,
)
export const optionalFields = named<OptionalField>(
  ({ writer, default: value }) => writer === 'client' && value !== undefined,
)
/** Fields that a new task has without being given them. */
const defaultedFields = named<DefaultedField>(({ default: value }) => value !== undefined)
export const insertedFields = named<InsertedField>(({ writer }) => writer !== 'server')
export const updatedFields = named<UpdatedField>(({ writer }) => writer !== 'server' && writer !== 'create')
export const trackedFields = named<TrackedField>(({ isTracked }) => isTracked === true)
export const contentFields = named<ContentField>(({ isContent }) => isContent === true)
export const searchedFields = named<SearchedField>(({ isSearched }) => isSearched === true)

const descriptions = new Map<string, FieldDescription>(entries)

const defaultsOf = <N extends DefaultedField>(names: readonly N[]): { [F in N]: FieldValue<F> } =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `default` is a value of its field
  Object.fromEntries(names.map((name) => [name, descriptions.get(name)?.default])) as {
    [F in N]: FieldValue<F>
  }

/** What PUT, a creation and null in a patch mean where no value is given. */
export const taskDefaults = defaultsOf(optionalFields)

/** The same with what the server fills in for a new task. */
export const newTaskDefaults = defaultsOf(defaultedFields)

/** The right that a change of the field takes beyond that to write the task. */
export const rightFor = (name: WritableField): 'move' | undefined => descriptions.get(name)?.requires

/** RFC 3339 in UTC with milliseconds; text that is no date-time as it is. */
const canonicalInstant = (text: string): string => {
  const date = new Date(text)
  return Number.isNaN(date.getTime()) ? text : date.toISOString()
}

/** A value that no server has validated, which a client also passes, stays as it is where it is no text. */
const ofText =
  (toForm: (text: string) => string) =>
  (value: unknown): unknown =>
    typeof value === 'string' ? toForm(value) : value

/** The stored form of a field's values; undefined where it is the value. */
const canonicalForm = ({ kind, keepsSpace }: FieldDescription): ((value: unknown) => unknown) | undefined => {
  switch (kind) {
    case 'text':
      return ofText(keepsSpace ? composedText : canonicalText)
    case 'instant':
      return ofText(canonicalInstant)
    case 'tags':
      return (value) => (Array.isArray(value) ? mergedTags(value) : value)
    default:
      return undefined
  }
}

/** Looked up once: every write passes here. */
const writable = writableFields.map((name) => {
  const field: FieldDescription = taskFields[name]
  return { name, fallback: field.default, toCanonical: canonicalForm(field) }
})

/** The task with its writable fields as they are stored: text in its one form, tags without repeats, instants in UTC. */
export const canonicalFields = <T extends TaskFields>(task: T): T => {
  const fields = { ...task }
  for (const { name, toCanonical } of writable)
    if (toCanonical) Reflect.set(fields, name, toCanonical(task[name]))
  return fields
}

/**
 * The writable fields that a creation or an RFC 7396 merge patch gives, canonical. Null sets the default; what has none
 * stays as it is.
 */
export const givenFields = (patch: object): Partial<TaskFields> => {
  const fields: Partial<TaskFields> = {}
  for (const { name, fallback, toCanonical } of writable) {
    const given: unknown = Reflect.get(patch, name)
    const value = given === null ? fallback : given
    if (value !== undefined) Reflect.set(fields, name, toCanonical ? toCanonical(value) : value)
  }
  return fields
}
