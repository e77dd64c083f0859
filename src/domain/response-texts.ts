// Long texts of stored responses. A bulk change of 100 tasks would store the same description a hundred times, so each
// long text of a task, project or comment is extracted and only its digest stored. A replay finds the text by its digest: in the
// equal request itself, in the log entries of the first one, or in the row.
import type { Tx } from '../db/client.ts'
import { selectComment } from '../db/comments/comments.ts'
import { selectFramesOf, type CompactResponse, type CutText } from '../db/log/idempotency.ts'
import { selectProject } from '../db/projects/projects.ts'
import { selectTasks } from '../db/tasks/tasks.ts'
import { notFound } from '../errors.ts'
import type { Actor } from '../model/actor.ts'
import { isLongText, parseCursor } from '../model/event.ts'
import type { StoredResponse } from '../model/stored-response.ts'
import { canonicalText, composedText } from '../model/text-form.ts'
import type { Subject } from './subject.ts'

/** The response as it is stored: long texts of its subject are empty in the body and listed in `texts`. */
export const extractLongTexts = (
  response: StoredResponse,
  { tasks, projects, comments = [] }: Subject,
): StoredResponse & { texts: CutText[] } => {
  const texts: CutText[] = []
  if (response.body === null || !isLongText(response.body)) return { ...response, texts }
  const body: unknown = JSON.parse(response.body)
  for (const [item, part] of partsOf(body)) {
    const { id } = part
    if (typeof id !== 'string' || !(id in tasks || projects.includes(id) || comments.includes(id))) continue
    for (const [field, value] of Object.entries(part)) {
      if (typeof value !== 'string' || !isLongText(value)) continue
      texts.push({ item, id, field, digest: digestOf(value) })
      part[field] = ''
    }
  }
  return texts.length === 0 ? { ...response, texts } : { ...response, body: JSON.stringify(body), texts }
}

/**
 * The stored response with its long texts. A text that is neither in the request nor in the log any more is replaced
 * by the row's present one; 404 where there is no row either.
 * @param claim of the equal request.
 */
export const restoreLongTexts = async (
  tx: Tx,
  { userId }: Actor,
  claim: { key: string; texts: () => string[] },
  { status, headers, body, texts, subject }: CompactResponse & { subject: Subject },
): Promise<StoredResponse> => {
  if (texts.length === 0 || body === null) return { status, headers, body }
  const filled: unknown = JSON.parse(body)
  const parts = new Map(partsOf(filled))
  const missing = fillFrom(parts, texts, claim.texts())
  if (missing.length === 0) return { status, headers, body: JSON.stringify(filled) }

  const ids = [...new Set(missing.map(({ id }) => id))]
  const position = parseCursor(headers['Tide-Cursor'] ?? '')
  const frames = position ? await selectFramesOf(tx, { ...position, op: claim.key, userId, ids }) : []
  const logged = frames.flatMap((frame) => valuesIn(JSON.parse(frame)))
  const unlogged = fillFrom(parts, missing, logged)

  const rows = unlogged.length > 0 ? await readRows(tx, userId, unlogged, subject) : new Map<string, object>()
  for (const { item, id, field } of unlogged) {
    const row = rows.get(id)
    const value: unknown = row && Reflect.get(row, field)
    if (typeof value !== 'string') throw notFound()
    parts.get(item)![field] = value
  }
  return { status, headers, body: JSON.stringify(filled) }
}

/** Fills the texts whose digest one of the candidates has, and returns the others. */
const fillFrom = (
  parts: Map<number | null, Record<string, unknown>>,
  texts: CutText[],
  candidates: string[],
): CutText[] => {
  // As the request sent them and as rows store them.
  const forms = candidates.flatMap((text) => [text, text.trim(), composedText(text), canonicalText(text)])
  const byDigest = new Map(forms.map((text) => [digestOf(text), text]))
  return texts.filter(({ item, field, digest }) => {
    const text = byDigest.get(digest)
    if (text !== undefined) parts.get(item)![field] = text
    return text === undefined
  })
}

const readRows = async (
  tx: Tx,
  userId: string,
  texts: CutText[],
  { projects, comments = [] }: Subject,
): Promise<Map<string, object>> => {
  const ids = new Set(texts.map(({ id }) => id))
  const tasks = await selectTasks(tx, userId, [...ids])
  const rows = new Map<string, object>(tasks.map(({ task }) => [task.id, task]))
  for (const id of projects) {
    const project = ids.has(id) ? await selectProject(tx, userId, id) : null
    if (project) rows.set(id, project)
  }
  for (const id of comments) {
    const stored = ids.has(id) ? await selectComment(tx, id) : null
    if (stored) rows.set(id, stored.comment)
  }
  return rows
}

/** The objects of a response that may have long texts, by their index in `items`; null for the response itself. */
const partsOf = (body: unknown): [number | null, Record<string, unknown>][] => {
  if (!isRecord(body)) return []
  const { items } = body
  if (!Array.isArray(items)) return [[null, body]]
  return items.flatMap((item: unknown, index): [number, Record<string, unknown>][] =>
    isRecord(item) ? [[index, item]] : [],
  )
}

const valuesIn = (frame: unknown): string[] => {
  const data = isRecord(frame) ? frame['data'] : null
  const values: unknown[] = isRecord(data) ? Object.values(data) : []
  return values.filter((value) => typeof value === 'string').filter(isLongText)
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const digestOf = (text: string): string =>
  new Bun.CryptoHasher('sha256').update(text).digest().subarray(0, 16).toString('base64url')
