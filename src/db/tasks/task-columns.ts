// The column lists of `tasks`, made once from the description of the fields, so that no statement can forget one.
// Only lists are made: they are constant texts, and statements that contain them are prepared and planned as before.
import {
  fieldNames,
  insertedFields,
  searchedFields,
  taskFields,
  updatedFields,
  type FieldKind,
  type FieldName,
  type InsertedField,
} from '../../model/task-fields.ts'
import type { Task } from '../../model/task.ts'
import type { Queryable } from '../client.ts'

type Fragment = ReturnType<Queryable>

/** `dueAt` → `due_at` */
export const columnOf = (name: FieldName): string =>
  name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** What a column holds, and what a value is read as from JSON. */
export const sqlTypes: Record<FieldKind, string> = {
  id: 'uuid',
  text: 'text',
  word: 'text',
  instant: 'timestamptz(3)',
  tags: 'text[]',
  rank: 'text',
  count: 'integer',
  version: 'bigint',
}

/**
 * What the driver takes as the text of a tagged template, with a place for a fragment between its parts. To be made once
 * for each text: the driver keeps an `Error` for every template it has seen, for ever (postgres 3.4.9, `originCache`).
 */
const template = (...parts: string[]): TemplateStringsArray => Object.assign(parts, { raw: parts })

const listOf = (names: readonly FieldName[], item: (column: string, name: FieldName) => string): string =>
  names.map((name) => item(columnOf(name), name)).join(', ')

const constant = (text: string): ((sql: Queryable) => Fragment) => {
  const parts = template(text)
  return (sql) => sql(parts)
}

const shown = (column: string, name: FieldName): string =>
  column === name ? `t.${column}` : `t.${column} as "${name}"`

const beforeDescription = fieldNames.slice(0, fieldNames.indexOf('description'))
const afterDescription = fieldNames.slice(fieldNames.indexOf('description') + 1)
const taskParts = template(`${listOf(beforeDescription, shown)}, `, `, ${listOf(afterDescription, shown)}`)

/** Columns of a `Task` in the order of its shape, from `tasks t`. @param description SQL in the place of the text. */
export const taskColumns = (sql: Queryable, description = sql`t.description`): Fragment =>
  sql(taskParts, description)

/** An instant as `types.ts` reads it. */
const shownInstant = (column: string, name: FieldName): string =>
  taskFields[name].kind === 'instant'
    ? `to_char(t.${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "${name}"`
    : shown(column, name)

/** `createdAt` of `tasks t` as text. */
export const createdText = constant(shownInstant(columnOf('createdAt'), 'createdAt'))

const jsonParts = template(
  `(select row_to_json(shown)::text from (select ${listOf(beforeDescription, shownInstant)}, `,
  `, ${listOf(afterDescription, shownInstant)}) as shown)`,
)

/** A `Task` of `tasks t` as the JSON text that `JSON.stringify` makes of `taskColumns`. */
export const taskJson = (sql: Queryable, description = sql`t.description`): Fragment =>
  sql(jsonParts, description)

const assignment = (column: string): string => `${column} = i.${column}`
const typed = (column: string, name: FieldName): string => `${column} ${sqlTypes[taskFields[name].kind]}`

/** Columns of a new row, their values in the record `i`, and the record's own columns. */
export const insertedColumns = constant(listOf(insertedFields, (column) => column))
export const insertedValues = constant(listOf(insertedFields, (column) => `i.${column}`))
export const insertedTypes = constant(listOf(insertedFields, typed))

const isSearched = (name: FieldName): boolean => searchedFields.some((other) => other === name)

/** The columns of an update's record `i`. */
export const updatedTypes = constant(listOf(['id', ...updatedFields], typed))
/** What an update of texts sets, and what every update sets. */
export const searchedAssignments = constant(listOf(searchedFields, assignment))
export const otherAssignments = constant(
  listOf(
    updatedFields.filter((name) => !isSearched(name)),
    assignment,
  ),
)

/** The bytes of all texts of `tasks t`, read without the texts. */
export const textBytes = constant(
  fieldNames
    .filter((name) => taskFields[name].kind === 'text')
    .map((name) => `octet_length(t.${columnOf(name)})`)
    .join(' + '),
)

/** Looked up once: every write passes here. */
const columns = new Map(fieldNames.map((name) => [name, columnOf(name)]))

/** Values of a record by column. */
export const toColumns = <N extends InsertedField>(
  names: readonly N[],
  task: Pick<Task, N>,
): Record<string, unknown> => {
  const row: Record<string, unknown> = {}
  for (const name of names) row[columns.get(name)!] = task[name]
  return row
}
