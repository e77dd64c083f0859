// The AsyncAPI 3 document of the socket at /api/asyncapi.json, built from the schemas of the frames at the first request:
// a message for each frame and each event type, and the replies to each frame.
import type { TSchema } from '@sinclair/typebox'
import packageJson from '../../../package.json' with { type: 'json' }
import { eventTypes } from '../../model/event.ts'
import { clientFrames, closeCodes, eventData, serverFrames, subprotocol } from '../../model/frames.ts'
import { Word } from '../../model/scalar.ts'
import { exampleOf, objectOf, plain, schemas, type Json, type JsonObject } from './components.ts'
import { withReferences } from './references.ts'
import { bodyTag, ok } from '../response.ts'
import { undocumented } from '../route.ts'
import { RouteGroup } from '../route-group.ts'

const info = {
  title: `Tasktide, ${subprotocol}`,
  version: packageJson.version,
  description: `The change log over a WebSocket, without gaps. This document describes the frames; docs/protocol.md describes the protocol. Close codes: after 1xxx and 40xx reconnect with the cursor, after 44xx get new credentials first, after 45xx stop. ${Object.entries(
    closeCodes,
  )
    .map(([reason, code]) => `${code} ${reason}`)
    .join(', ')}.`,
}

type ClientType = keyof typeof clientFrames
type ServerType = keyof typeof serverFrames

/** The replies to each frame of a client that has a `rid`. */
const answers: Record<ClientType, ServerType[]> = {
  hello: ['welcome'],
  sub: ['sub', 'resync', 'access', 'error'],
  unsub: ['ok', 'error'],
  auth: ['ok', 'error'],
  watch: ['ok', 'error'],
  unwatch: ['ok', 'error'],
  signal: ['ok', 'error'],
  ping: ['pong'],
}

/** Frames the server sends without a request. */
const unsolicited: ServerType[] = [
  'welcome',
  'synced',
  'position',
  'resync',
  'access',
  'presence',
  'signal',
  'bye',
]

/** Serves the document. */
export const asyncApiRoutes = () => {
  let document: JsonObject | undefined
  return new RouteGroup().get(
    '/api/asyncapi.json',
    () => bodyTag(ok((document ??= describeSocket()), { 'Cache-Control': 'no-cache' })),
    { detail: undocumented({ access: 'public' }) },
  )
}

/** The finished document. */
export const describeSocket = (): JsonObject => {
  const { event: _event, ...plainFrames } = serverFrames
  const named: [string, JsonObject][] = [
    ...Object.entries(clientFrames).map(([t, frame]): [string, JsonObject] => [
      fromClient(t),
      messageOf(t, frame),
    ]),
    ...Object.entries(plainFrames).map(([t, frame]): [string, JsonObject] => [
      fromServer(t),
      messageOf(t, frame),
    ]),
    ...eventTypes.map((type): [string, JsonObject] => [type, eventMessage(type)]),
  ]
  const messages: JsonObject = Object.fromEntries(named)
  const channel = '#/channels/socket'
  const inChannel = (names: string[]): Json => names.map((name) => refTo(`${channel}/messages/${name}`))
  const receive = Object.keys(clientFrames).map((t): [string, JsonObject] => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- keys of that very object
    const replies = answers[t as ClientType]
    return [
      `receive.${t}`,
      {
        action: 'receive',
        channel: refTo(channel),
        messages: inChannel([fromClient(t)]),
        ...(replies.length > 0 && {
          reply: { channel: refTo(channel), messages: inChannel(replies.map(fromServer)) },
        }),
      },
    ]
  })
  const send: JsonObject = {
    action: 'send',
    channel: refTo(channel),
    messages: inChannel([...unsolicited.map(fromServer), ...eventTypes]),
  }
  return {
    asyncapi: '3.0.0',
    info,
    defaultContentType: 'application/json',
    servers: {
      own: {
        host: '{host}',
        protocol: 'wss',
        protocolVersion: '13',
        description: `Subprotocol \`${subprotocol}\``,
        variables: { host: { default: '127.0.0.1:3000' } },
        security: ['bearer', 'offered'].map((name) => refTo(`#/components/securitySchemes/${name}`)),
      },
    },
    channels: {
      socket: {
        address: '/api/ws',
        messages: Object.fromEntries(
          Object.keys(messages).map((name) => [name, refTo(`#/components/messages/${name}`)]),
        ),
        bindings: { ws: { method: 'GET', bindingVersion: '0.1.0' } },
      },
    },
    operations: { ...Object.fromEntries(receive), send },
    components: {
      messages,
      schemas: namedIn(messages),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An access token, where headers can be set' },
        offered: {
          type: 'httpApiKey',
          in: 'header',
          name: 'Sec-WebSocket-Protocol',
          description: `\`${subprotocol}, jwt.<access token>\`, for browsers. Without either, \`hello\` comes first`,
        },
      },
    },
  }
}

const fromClient = (t: string): string => `client.${t}`
const fromServer = (t: string): string => `server.${t}`
const refTo = (pointer: string): JsonObject => ({ $ref: pointer })

const messageOf = (t: string, frame: TSchema): JsonObject => {
  const { description, ...schema } = plain(frame)
  return {
    name: t,
    ...(description !== undefined && { summary: description }),
    payload: withReferences(schema),
    examples: [{ payload: exampleOf(schema) }],
  }
}

/** The message of one event type, with the schema of its data where it has data. */
const eventMessage = (type: (typeof eventTypes)[number]): JsonObject => {
  const { data: _data, ...rest } = serverFrames.event.properties
  const data = eventData[type]
  const schema = plain({
    ...serverFrames.event,
    properties: { ...rest, type: Word(type), ...(data && { data }) },
  })
  return {
    name: type,
    summary: data ? 'An entry of the log' : 'An entry of the log, without data',
    payload: withReferences(schema),
    examples: [{ payload: exampleOf(schema) }],
  }
}

/** The named schemas that are referred to, directly or through others. */
const namedIn = (messages: JsonObject): JsonObject => {
  const all = schemas()
  const found: JsonObject = {}
  const look = (within: Json): void => {
    for (const [, name] of JSON.stringify(within).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      if (!name || found[name]) continue
      const schema = Object.fromEntries(
        Object.entries(objectOf(all[name])).map(([key, inner]) => [key, withReferences(inner)]),
      )
      found[name] = schema
      look(schema)
    }
  }
  look(messages)
  return found
}
