// What tasks are found by: lexemes of the column `words`. Each begins with the end of its project's id, so that one
// index serves all and a search reads only entries of the projects it covers, however common a word is elsewhere. A
// word is its folding; a tag stands once more behind `#`, which no word contains, as a whole.
import type postgres from 'postgres'
import { searchedFields, type SearchedField } from '../../model/task-fields.ts'
import type { Task } from '../../model/task.ts'
import { maxSearchWords, tagKey, titleKey, wordsOf } from '../../model/text-form.ts'
import type { Queryable, Tx } from '../client.ts'

/** The random end of a UUIDv7. Two projects with the same end cost reads, not wrong answers. */
const prefixLength = 8

const prefixOf = (projectId: string): string => projectId.slice(-prefixLength)

/** The project and the fields whose words searches find. */
type SearchedTask = Pick<Task, 'projectId' | SearchedField>

/** At most one for each character of the texts. */
const lexemesOf = (task: SearchedTask): string[] => {
  const prefix = prefixOf(task.projectId)
  const texts = searchedFields.flatMap((name) => task[name])
  return [
    ...wordsOf(texts.join('\n')).map((word) => prefix + word),
    ...task.tags.map((tag) => `${prefix}#${tagKey(tag)}`),
  ]
}

/** The columns that searches read and that lists are ordered by. */
export const wordColumns = (task: SearchedTask) => ({
  title_key: titleKey(task.title),
  words: lexemesOf(task),
})

/** Takes the place of the prefix; foldings contain no controls. */
const anyProject = '\u0001'

/** SQL of a tsquery that wants every word as a prefix and every tag. @param project an id, or SQL that is one. */
export const wordQuery = (
  sql: Queryable,
  { words = [], tags = [] }: { words?: string[] | undefined; tags?: string[] | undefined },
  project: string | postgres.Fragment,
): postgres.Fragment => {
  const pattern = [
    ...words.map((word) => `${quoted(anyProject + word)}:*`),
    ...tags.map((tag) => quoted(`${anyProject}#${tagKey(tag)}`)),
  ].join(' & ')
  return typeof project === 'string'
    ? sql`${pattern.replaceAll(anyProject, prefixOf(project))}::tsquery`
    : sql`replace(${pattern}, ${anyProject}, right((${project})::text, ${prefixLength}))::tsquery`
}

const quoted = (lexeme: string): string => `'${lexeme.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`

/** The tsquery a server of the version before would ask `document`; empty where it has no word. */
export const documentQuery = (search: string): string =>
  search
    .split(/[\s!-/:-@[-`{-~]+/)
    .filter(Boolean)
    .slice(0, maxSearchWords)
    .map((word) => `'${word}':*`)
    .join(' & ')

/** Whether there are tasks whose words are still to be added. */
export const hasTasksWithoutWords = async (sql: Queryable): Promise<boolean> => {
  // Ordered, so that no plan reads the table to find out that there is none.
  const rows = await sql`select id from tasks where words is null order by id limit 1`
  return rows.length > 0
}

/** Locks the first tasks without words by ascending id, those that are being written left out; answers their ids. */
export const lockTasksWithoutWords = async (tx: Tx, limit: number): Promise<string[]> => {
  const rows = await tx<{ id: string }[]>`
    select id from tasks where words is null order by id limit ${limit} for no key update skip locked`
  return rows.map(({ id }) => id)
}

/** Gives locked tasks the words of their text as it is. Nothing that is shown of them changes. */
export const updateTaskWords = async (tx: Tx, tasks: Task[]): Promise<void> => {
  if (tasks.length === 0) return
  const rows = tasks.map((task) => ({ id: task.id, ...wordColumns(task) }))
  await tx`
    update tasks t set title_key = i.title_key, words = array_to_tsvector(i.words), words_version = t.version
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as i (id uuid, title_key text, words text[])
    where t.id = i.id`
}
