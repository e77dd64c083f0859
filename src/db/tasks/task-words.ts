// The search index of tasks: lexemes in the column `words`. Each starts with the last 8 characters of its project's id,
// so that one index serves all projects and a search reads only entries of the projects it covers, also for words that
// are common elsewhere. A word is stored folded; each tag is stored a second time as a whole, after `#`, which no word
// contains.
import type postgres from 'postgres'
import { searchedFields, type SearchedField } from '../../model/task-fields.ts'
import type { Task } from '../../model/task.ts'
import { maxSearchWords, tagKey, titleKey, wordsOf } from '../../model/text-form.ts'
import type { Queryable, Tx } from '../client.ts'

/** The random end of a UUIDv7. Two projects with the same end cost additional reads; results stay correct. */
export const prefixLength = 8

export const prefixOf = (projectId: string): string => projectId.slice(-prefixLength)

/** The project and the fields whose words searches find. */
type SearchedTask = Pick<Task, 'projectId' | SearchedField>

/** Texts above this length are worth remembering. */
const longText = 256

let lastLong: { text: string; words: string[] } | null = null

/** Segmenting 10,000 characters takes milliseconds, and a bulk change sets one text on a hundred tasks: the last is kept. */
const wordsOfText = (text: string): string[] => {
  if (text.length <= longText) return wordsOf(text)
  if (lastLong?.text !== text) lastLong = { text, words: wordsOf(text) }
  return lastLong.words
}

/** At most one for each character of the texts. */
const lexemesOf = (task: SearchedTask): string[] => {
  const prefix = prefixOf(task.projectId)
  const words = new Set(searchedFields.flatMap((name) => task[name]).flatMap(wordsOfText))
  return [
    ...Array.from(words, (word) => prefix + word),
    ...task.tags.map((tag) => `${prefix}#${tagKey(tag)}`),
  ]
}

/** The columns that searches read and that lists are ordered by. */
export const wordColumns = (task: SearchedTask) => ({
  title_key: titleKey(task.title),
  words: lexemesOf(task),
})

/** Placeholder of the prefix; folded text contains no control characters. */
const anyProject = '\u0001'

/** SQL of a tsquery that matches every word as a prefix and every tag. @param project an id, or SQL of an id. */
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

/** The tsquery that the previous version runs on the column `document`; empty where the text has no word. */
export const documentQuery = (search: string): string =>
  search
    .split(/[\s!-/:-@[-`{-~]+/)
    .filter(Boolean)
    .slice(0, maxSearchWords)
    .map((word) => `'${word}':*`)
    .join(' & ')

/** Whether there are tasks without words. */
export const hasTasksWithoutWords = async (sql: Queryable): Promise<boolean> => {
  // Ordered, so that the plan reads the partial index, and not the table, when there is none.
  const rows = await sql`select id from tasks where words is null order by id limit 1`
  return rows.length > 0
}

/** Locks the first tasks without words by ascending id, skips locked ones, and returns their ids. */
export const lockTasksWithoutWords = async (tx: Tx, limit: number): Promise<string[]> => {
  const rows = await tx<{ id: string }[]>`
    select id from tasks where words is null order by id limit ${limit} for no key update skip locked`
  return rows.map(({ id }) => id)
}

/** Sets the words of locked tasks from their present text. No field of the task changes. */
export const updateTaskWords = async (tx: Tx, tasks: Task[]): Promise<void> => {
  if (tasks.length === 0) return
  const rows = tasks.map((task) => ({ id: task.id, ...wordColumns(task) }))
  await tx`
    update tasks t set title_key = i.title_key, words = array_to_tsvector(i.words), words_version = t.version
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as i (id uuid, title_key text, words text[])
    where t.id = i.id`
}
