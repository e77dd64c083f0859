// One request: what it is, what must become of it, and how it is sent.
import type { Draws } from './draws.ts'
import type { Api, Json, Operation, Parameter, Schema } from './document.ts'
import { hintsFor, idOf, kindOfParameter } from './hints.ts'
import type { Person } from './people.ts'
import { valueOf } from './values.ts'
import { samples } from '../support/uploads.ts'

/**
 * `valid`: fits the document. `violation`: breaks one rule of it. `garbage`: breaks HTTP, JSON or more. `anonymous`: has
 * no valid credentials. `deleted`: names something that was deleted.
 */
export const requestKinds = ['valid', 'violation', 'garbage', 'anonymous', 'deleted'] as const
export type RequestKind = (typeof requestKinds)[number]

/** A part of a query, not yet encoded. */
export type QueryPart = [name: string, value: string]

export interface Draft {
  operation: Operation
  caller: Person | null
  /** The path with its parameters, as sent. */
  path: string
  query: QueryPart[]
  headers: Record<string, string>
  mediaType: string | null
  schema: Schema | null
  /** The value of a JSON body. */
  json: Json | undefined
  file: FormData | null
}

export interface FuzzRequest {
  kind: RequestKind
  /** Of a violation: which one. */
  what: string
  operation: Operation | null
  method: string
  /** With its query. */
  path: string
  headers: Record<string, string>
  body: string | Uint8Array<ArrayBuffer> | FormData | undefined
  caller: Person | null
  /** Statuses that are right; null for every documented one. */
  right: ((status: number) => boolean) | null
  /** Sent as these bytes: the request line and headers. */
  raw?: string
}

export interface DraftDeps {
  draws: Draws
  api: Api
  everyone: readonly Person[]
  /** The Idempotency-Key of this request. */
  key: string
}

const shownIn = (value: Json): string => (typeof value === 'string' ? value : JSON.stringify(value))

const queryPartsOf = ({ name, explode, schema }: Parameter, value: Json): QueryPart[] =>
  schema.type !== 'array' || !Array.isArray(value)
    ? [[name, shownIn(value)]]
    : explode
      ? value.map((item): QueryPart => [name, shownIn(item)])
      : [[name, value.map(shownIn).join(',')]]

/** Continue with cursors only: what a cursor is the schema cannot say. */
const opaque = new Set(['cursor', 'after'])

/** A request that fits the document, by a user who may send it. */
export const draft = (deps: DraftDeps, operation: Operation, caller: Person | null): Draft => {
  const { draws, api, everyone, key } = deps
  const hint = hintsFor({ draws, operation, caller, everyone })
  const values = { draws, resolve: api.resolve, hint }
  const given = operation.parameters.filter(({ required }) => required || draws.chance(0.25))
  const segment = ({ name, schema }: Parameter): string => {
    const kind = kindOfParameter(operation, name)
    const known = kind && draws.chance(0.92) ? idOf({ draws, caller, everyone }, kind) : undefined
    return encodeURIComponent(known ?? shownIn(valueOf(values, schema)))
  }
  const path = operation.parameters
    .filter((parameter) => parameter.in === 'path')
    .reduce(
      (text, parameter) => text.replace(`{${parameter.name}}`, () => segment(parameter)),
      operation.template,
    )
  const query =
    operation.template === '/api/sync'
      ? syncQuery(draws, caller)
      : given
          .filter(
            ({ in: place, name, schema }) =>
              place === 'query' && !(opaque.has(name) && schema.format !== 'date-time'),
          )
          .flatMap((parameter) => queryPartsOf(parameter, valueOf(values, parameter.schema, parameter.name)))
  const headers = Object.fromEntries(
    given
      .filter((parameter) => parameter.in === 'header')
      .map(({ name, schema }) => [name, headerValue(shownIn(valueOf(values, schema, name)))]),
  )
  if (operation.parameters.some(({ name }) => name === 'Idempotency-Key')) headers['Idempotency-Key'] = key
  const types = Object.entries(operation.body?.types ?? {})
  const hasBody = types.length > 0 && (operation.body!.required || draws.chance(0.7))
  const [mediaType, schema] = hasBody ? draws.pick(types) : [null, null]
  const isJson = mediaType?.endsWith('json') ?? false
  return {
    operation,
    caller,
    path,
    query,
    headers,
    mediaType,
    schema,
    json: isJson ? valueOf(values, schema!) : undefined,
    file: mediaType && !isJson ? formFor(draws, operation) : null,
  }
}

/** Header values are Latin-1 without controls, and trimmed. */
const headerValue = (text: string): string => text.replaceAll(/[^\x21-\x7e\xa1-\xff ]/gu, '').trim()

/** Scopes that the caller knows a position in, each with it. */
const syncQuery = (draws: Draws, caller: Person | null): QueryPart[] => {
  const known = [...(caller?.positions ?? [])]
  const [scope, cursor] = known.length > 0 ? draws.pick(known) : ['user:me', 'none0000.0.0']
  return [
    ['scope', scope],
    ['cursor', cursor],
  ]
}

const formFor = (draws: Draws, { template }: Operation): FormData => {
  const form = new FormData()
  if (!/avatar|attachments/.test(template)) {
    form.append('List-Unsubscribe', 'One-Click')
    return form
  }
  const types = Object.keys(samples).filter((type) => !template.includes('avatar') || type === 'image/png')
  const { name, content } = samples[draws.pick(types)]!
  const shown = draws.chance(0.8)
    ? name
    : draws.pick(['ü'.repeat(300), '../../etc/passwd', 'a\u202egpj.exe', '日本.png', ' '])
  form.append('file', new File([content], shown))
  return form
}

/** The draft as it is sent. */
export const finished = (
  drafted: Draft,
  kind: RequestKind,
  what: string,
  right: FuzzRequest['right'],
  body: FuzzRequest['body'] = drafted.json === undefined
    ? (drafted.file ?? undefined)
    : JSON.stringify(drafted.json),
): FuzzRequest => {
  const { operation, caller, path, query, headers, mediaType } = drafted
  const isForm = body instanceof FormData
  const search = query.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&')
  return {
    kind,
    what,
    operation,
    method: operation.method,
    path: search === '' ? path : `${path}?${search}`,
    headers: {
      ...(body !== undefined && !isForm && mediaType !== null && { 'Content-Type': mediaType }),
      ...(caller && operation.isGuarded && { Authorization: `Bearer ${caller.token}` }),
      ...headers,
    },
    body,
    caller,
    right,
  }
}

/** Percent-encoded UTF-8; a lone surrogate becomes bytes that are no UTF-8. */
const encode = (text: string): string =>
  text.isWellFormed()
    ? encodeURIComponent(text)
    : encodeURIComponent(text.toWellFormed()).replaceAll('%EF%BF%BD', '%ED%A0%80')
