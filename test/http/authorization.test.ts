// The authorization matrix, generated from the OpenAPI document: every route for every kind of caller. A route without a
// row in `authorization/rows.ts` fails; a refused request leaves nothing behind.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startWorld, type World } from '../support/world.ts'
import { columns, gather, type Column, type People } from './authorization/people.ts'
import { rows, type Row, type Sent } from './authorization/rows.ts'

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, unknown> }>>
}

let world: World
let document: Document
let people: People

beforeAll(async () => {
  world = await startWorld()
  document = (await world.call<Document>('GET', '/api/openapi.json')).body
  people = await gather(world)
}, 60_000)

afterAll(() => world[Symbol.asyncDispose]())

const letters: Record<string, [status: number, codes: string[]]> = {
  '1': [401, ['unauthenticated']],
  '2': [422, ['validation_failed']],
  '3': [403, ['forbidden', 'insufficient_scope']],
  '4': [404, ['not_found']],
}

const successOf = (name: string): number => {
  const [method, template] = name.split(' ')
  const responses = document.paths[template!]![method!.toLowerCase()]!.responses
  return Number(Object.keys(responses).sort()[0])
}

const idOf = (template: string, isNew: boolean): Promise<string> | string => {
  const { things } = people
  if (template.startsWith('/api/projects/')) return isNew ? things.newProject() : things.projectId
  if (template.startsWith('/api/tasks/')) return isNew ? things.newTask() : things.taskId
  return ''
}

const send = async (name: string, row: Row, column: Column, isAllowed: boolean) => {
  const [method = '', template = ''] = name.split(' ')
  const caller = row.alone && isAllowed ? await people.alone(column) : people.of(column)
  const isNew = isAllowed && method !== 'GET'
  const sent: Sent = (await row.send?.(people.things, caller, isNew)) ?? {}
  const path = sent.path ?? template.replace('{id}', await idOf(template, isNew))
  if (sent.body instanceof FormData) {
    const headers = caller ? { Authorization: `Bearer ${caller.token}` } : {}
    const response = await fetch(world.url + path, { method, headers, body: sent.body })
    const isProblem = response.headers.get('content-type')?.includes('json')
    return { status: response.status, code: isProblem ? (await response.json()).code : undefined }
  }
  const answer = await world.call(method, path, {
    ...(caller && { token: caller.token }),
    ...(sent.body !== undefined && { body: sent.body }),
  })
  return { status: answer.status, code: answer.body?.code }
}

test('every route of the document has a row, and every row a route', () => {
  const routes = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  )
  expect(Object.keys(rows).toSorted()).toEqual(routes.toSorted())
})

test('every row has a letter for each column', () => {
  const wrong = Object.entries(rows).filter(
    ([, row]) => ![row].flat().every(({ rights }) => /^[.1234]{10}$/.test(rights)),
  )
  expect(wrong).toEqual([])
})

const requests = Object.entries(rows).flatMap(([name, row]) =>
  [row].flat().map((one) => ({ name, row: one })),
)

/** What these rows are about is made for refused requests, too, which adds to the log. */
const makesThings = (name: string): boolean => /\/(?:attachments|comments|tokens)\/\{id\}/.test(name)

test.each(requests)(
  '$name',
  async ({ name, row }) => {
    const cells = columns.map((column, index) => ({ column, letter: row.rights[index]! }))
    const before = await world.entryCount()
    for (const { column, letter } of cells.filter((cell) => cell.letter !== '.')) {
      const [status, codes] = letters[letter]!
      const answer = await send(name, row, column, false)
      expect({ column, status: answer.status }).toEqual({ column, status })
      expect(codes).toContain(answer.code)
      if (column.startsWith('token') && letter === '3') expect(answer.code).toBe('insufficient_scope')
    }
    if (!makesThings(name)) expect(await world.entryCount()).toBe(before)
    const ok = row.ok ?? successOf(name)
    for (const { column } of cells.filter((cell) => cell.letter === '.')) {
      const answer = await send(name, row, column, true)
      expect({ column, ...answer }).toEqual({ column, status: ok, code: answer.code })
    }
  },
  60_000,
)
