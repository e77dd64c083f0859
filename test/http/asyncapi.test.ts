// The AsyncAPI document is valid by the official schema, names every frame and event, and gives examples that fit.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import specification from '@asyncapi/specs/schemas/3.0.0.json' with { type: 'json' }
import { Ajv } from 'ajv'
import { describeSocket } from '../../src/http/openapi/asyncapi.ts'
import { objectOf, type JsonObject } from '../../src/http/openapi/components.ts'
import { eventTypes } from '../../src/model/event.ts'
import { clientFrames, eventData, serverFrames } from '../../src/model/frames.ts'
import { startWorld, type World } from '../support/world.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
}, 30_000)
afterAll(() => world[Symbol.asyncDispose]())

const document = describeSocket()
const messages = objectOf(objectOf(document['components'])['messages'])

/** Checks payloads by the document alone. */
const ajv = new Ajv({ strict: false, validateFormats: false })
ajv.addSchema(document, 'document')
const faultsOf = (name: string, payload: unknown): string[] => {
  const isValid = ajv.validate({ $ref: `document#/components/messages/${name}/payload` }, payload)
  return isValid ? [] : [`${name}: ${ajv.errorsText()} in ${JSON.stringify(payload)}`]
}

test('it is public, and 304 when the tag is current', async () => {
  const { status, headers, body } = await world.call('GET', '/api/asyncapi.json')
  expect([status, headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8'])
  expect(body).toEqual(document)
  const again = await world.call('GET', '/api/asyncapi.json', {
    headers: { 'If-None-Match': headers.get('etag')! },
  })
  expect(again.status).toBe(304)
})

test('it is valid AsyncAPI 3.0', () => {
  // The file brings its own draft-07.
  const official = new Ajv({ strict: false, validateFormats: false, meta: false, validateSchema: false })
  const isValid = official.compile(specification)
  expect(isValid({ ...document, channels: 'none' })).toBe(false) // it can fail
  isValid(document)
  expect(isValid.errors ?? []).toEqual([])
})

test('it has no reference that leads nowhere', () => {
  for (const [, pointer] of JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)) {
    const target = pointer!
      .split('/')
      .reduce<unknown>((at, key): unknown => objectOf(at as JsonObject)[key], document)
    expect({ pointer, found: target !== undefined }).toEqual({ pointer, found: true })
  }
})

test('it names every frame and every type of event, once, each in an operation', () => {
  const names = [
    ...Object.keys(clientFrames).map((t) => `client.${t}`),
    ...Object.keys(serverFrames)
      .filter((t) => t !== 'event')
      .map((t) => `server.${t}`),
    ...eventTypes,
  ]
  expect(Object.keys(messages).toSorted()).toEqual(names.toSorted())
  const used = JSON.stringify(document['operations'])
  expect(names.filter((name) => !used.includes(`"#/channels/socket/messages/${name}"`))).toEqual([])
})

test('its examples fit', () => {
  const faults = Object.entries(messages).flatMap(([name, message]) => {
    const { examples } = objectOf(message)
    return faultsOf(name, objectOf((examples as JsonObject[])[0])['payload'])
  })
  expect(faults).toEqual([])
})

test('events of real writes fit their schema, with their data (P-EVT-2, P-EVT-5)', async () => {
  const { anna, bert } = await world.people('anna', 'bert')
  const as = async (method: string, path: string, body?: unknown, token = anna.token): Promise<any> => {
    const answer = await world.call(method, path, { token, ...(body !== undefined && { body }) })
    expect([path, answer.status < 300]).toEqual([path, true])
    return answer.body
  }
  const project = await as('POST', '/api/projects', { name: 'Tide' })
  const scope = `project:${project.id}`
  await using socket = await world.socket(anna)
  await using other = await world.socket(bert)
  socket.send({ t: 'sub', rid: 1, scope })
  socket.send({ t: 'sub', rid: 2, scope: 'user:me' })
  other.send({ t: 'sub', rid: 1, scope: 'user:me' })
  for (const one of [socket, other]) await one.take('synced')
  await socket.take('synced')
  const members = `/api/projects/${project.id}/members`
  await as('POST', members, { email: bert.email, role: 'viewer' })
  await as('PATCH', `${members}/${bert.id}`, { role: 'editor' })
  await as('PATCH', `/api/projects/${project.id}`, { color: '#1e90ff' })
  const task = await as('POST', '/api/tasks', { title: 'Write', projectId: project.id, tags: ['docs'] })
  await as('PATCH', `/api/tasks/${task.id}`, { status: 'done', assigneeId: bert.id })
  await as('DELETE', `${members}/${bert.id}`)
  await as('POST', `/api/tasks/${task.id}/shares`, { userId: bert.id, permission: 'view' })
  await as('DELETE', `/api/tasks/${task.id}/shares/${bert.id}`)
  await as('DELETE', `/api/tasks/${task.id}`)
  await as('PATCH', '/api/users/me', { name: 'Anna' })
  await as('DELETE', `/api/projects/${project.id}`)
  await socket.take((frame) => frame.type === 'project.deleted')
  await other.take((frame) => frame.type === 'share.removed')
  const events = [...socket.frames, ...other.frames].filter(({ t }) => t === 'event')
  expect(events.flatMap((event) => faultsOf(event.type, event))).toEqual([])
  for (const event of events)
    expect([event.type, 'data' in event]).toEqual([
      event.type,
      eventData[event.type as keyof typeof eventData] !== undefined,
    ])
  const versionless = events.filter(({ type }) => /^(?:member|share|access|user)\./.test(type))
  expect(versionless.map(({ version }) => version)).toEqual(
    versionless.map(({ cursor }) => Number(cursor.split('.')[2])),
  )
  const ofTask = events.filter(
    ({ id, scope: heardIn, type }) => id === task.id && heardIn === scope && type.startsWith('task.'),
  )
  expect(ofTask.map(({ version }) => version)).toEqual(ofTask.map((_, index) => index + 1))
  expect(new Set(events.map(({ type }) => type)).size).toBeGreaterThanOrEqual(12)
})
