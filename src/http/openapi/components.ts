// The components of the OpenAPI document: named schemas with an example each, problems by status, headers. They are
// derived from src/model and src/errors.ts, so that they cannot differ from the code.
import type { TSchema } from '@sinclair/typebox'
import { codes, errorCodes, statusOf } from '../../errors.ts'
import {
  AccountPatch,
  NewAccount,
  EmailVerification,
  PasswordChange,
  PasswordReset,
  PasswordResetRequest,
  Refresh,
  Registration,
  SignIn,
  UserPatch,
} from '../../model/credentials.ts'
import { Comment, CommentPatch, NewComment } from '../../model/comment.ts'
import { Invitation } from '../../model/invitation.ts'
import { Activity } from '../../model/activity.ts'
import { Attachment, DirectUpload, NewDirectUpload } from '../../model/attachment.ts'
import { Health, Liveness, Readiness, Version } from '../../model/health.ts'
import { IssuedToken, NewPersonalToken, PersonalToken } from '../../model/personal-token.ts'
import { Notification, Preferences, PreferencesPatch } from '../../model/notification.ts'
import { Problem } from '../../model/problem.ts'
import { listTimeZones, TimeZone } from '../../model/scalar.ts'
import { Member, NewProject, Project, ProjectPatch } from '../../model/project.ts'
import { ProjectCounts, TaskStatistics } from '../../model/statistics.ts'
import { ProjectSnapshot, UserSnapshot } from '../../model/snapshot.ts'
import { Event, SyncAnswer } from '../../model/sync.ts'
import { NewTask, Share, Task, TaskMove, TaskPatch, TaskReplacement } from '../../model/task.ts'
import { textRules } from '../../model/text.ts'
import { Account, Email, PublicUser, Session, SessionAnswer, User } from '../../model/user.ts'
import { exampleId, exampleProblem } from '../problems/example.ts'

/** Any part of a JSON document. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type JsonObject = { [key: string]: Json }

/** Named schemas; the document refers to them wherever they occur. */
export const models: Record<string, TSchema> = {
  Account,
  AccountPatch,
  Attachment,
  Comment,
  CommentPatch,
  Activity,
  Event,
  DirectUpload,
  Email,
  EmailVerification,
  Health,
  IssuedToken,
  Invitation,
  Liveness,
  Member,
  NewAccount,
  NewDirectUpload,
  NewPersonalToken,
  NewComment,
  NewProject,
  NewTask,
  Notification,
  PasswordChange,
  PersonalToken,
  PasswordReset,
  PasswordResetRequest,
  Preferences,
  PreferencesPatch,
  Problem,
  Project,
  ProjectCounts,
  ProjectPatch,
  ProjectSnapshot,
  PublicUser,
  Readiness,
  Refresh,
  Registration,
  Session,
  SessionAnswer,
  Share,
  SignIn,
  SyncAnswer,
  Task,
  TaskMove,
  TaskPatch,
  TaskReplacement,
  TaskStatistics,
  TimeZone,
  User,
  UserPatch,
  UserSnapshot,
  Version,
}

const ownRules = new Set<string>(textRules)

/** A schema as plain JSON, without its symbols and without what is no keyword of JSON Schema. */
export const plain = (value: unknown): JsonObject =>
  objectOf(JSON.parse(JSON.stringify(value, (key, inner) => (ownRules.has(key) ? undefined : inner))))

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const objectOf = (value: Json | undefined): JsonObject => (isObject(value) ? value : {})

const exampleInstant = '2026-11-20T10:00:00.000Z'

/** A value that fits the schema: its own example where it has one. */
export const exampleOf = (schema: Json | undefined): Json => {
  if (!isObject(schema)) return null
  const given = schema['examples'] ?? schema['enum'] ?? schema['anyOf']
  if (Array.isArray(given)) return given === schema['anyOf'] ? exampleOf(given[0]) : given[0]!
  if ('const' in schema) return schema['const']!
  if ('default' in schema) return schema['default']!
  switch (schema['type']) {
    case 'object':
      return Object.fromEntries(
        Object.entries(objectOf(schema['properties'])).map(([name, inner]) => [name, exampleOf(inner)]),
      )
    case 'array':
      return [exampleOf(schema['items'])]
    case 'integer':
    case 'number':
      return schema['minimum'] ?? 0
    case 'boolean':
      return true
    case 'string':
      return schema['format'] === 'uuid'
        ? exampleId
        : schema['format'] === 'date-time'
          ? exampleInstant
          : 'text'
    default:
      return null
  }
}

export const schemas = (): JsonObject => {
  /** What the types of clients do not list. */
  const onlyDocumented: Record<string, JsonObject> = { TimeZone: { enum: listTimeZones() } }
  return Object.fromEntries(
    Object.entries(models).map(([name, model]) => {
      const schema = plain(model)
      return [name, { ...schema, ...onlyDocumented[name], examples: [exampleOf(schema)] }]
    }),
  )
}

/** The component name of the problems with a status, such as `Problem404`. */
export const problemName = (status: number): string => `Problem${status}`

/** One response per status, with the codes it may carry and an example of each. */
export const problemResponses = (): JsonObject => {
  const byStatus = Map.groupBy(errorCodes, (code) => statusOf[codes[code][0]])
  return Object.fromEntries(
    [...byStatus].map(([status, ofStatus]) => [
      problemName(status),
      {
        description: ofStatus.map((code) => `\`${code}\`: ${codes[code][1]}.`).join(' '),
        headers: { 'X-Request-Id': headerRef('X-Request-Id'), ...extraHeaders[status] },
        content: {
          'application/problem+json': {
            schema: { $ref: '#/components/schemas/Problem' },
            examples: Object.fromEntries(
              ofStatus.map((code) => [code, { value: plain(exampleProblem(code)) }]),
            ),
          },
        },
      },
    ]),
  )
}

export const headerRef = (name: string): JsonObject => ({ $ref: `#/components/headers/${name}` })

const text = { type: 'string' }
const seconds = { type: 'integer', minimum: 1 }

export const headers: JsonObject = {
  'X-Request-Id': {
    description: 'Sent by the client, or generated by the server',
    required: true,
    schema: { type: 'string', pattern: '^[A-Za-z0-9_.:@/+=-]{1,128}$' },
  },
  ETag: {
    description:
      'The version where the answer has one, for If-Match; otherwise of the bytes. For If-None-Match',
    schema: text,
    example: '"17"',
  },
  Link: { description: 'The next page, `rel="next"`; absent on the last one', schema: text },
  Location: { description: 'Path of the created resource', required: true, schema: text },
  'Tide-Cursor': {
    description:
      'Position of the write in its scope; absent where nothing changed, and where tasks of several projects were named',
    schema: text,
    example: 'k3v9x1q8.11.4711',
  },
  'Idempotency-Replayed': {
    description: '`true` where this is the stored response of an earlier request',
    schema: { type: 'string', enum: ['true'] },
  },
  RateLimit: { description: 'Requests left, and seconds until the limit is reset', schema: text },
  'RateLimit-Policy': { description: 'The limit, and its seconds', schema: text },
  'Retry-After': { description: 'Seconds to wait before a retry', schema: seconds },
  'Retry-After-Always': { description: 'Seconds to wait before a retry', required: true, schema: seconds },
  'Set-Cookie': { description: 'The refresh token, for browsers: HttpOnly, below /api/auth', schema: text },
  'Content-Disposition': {
    description: '`attachment` with the name of the file',
    required: true,
    schema: text,
  },
  'Content-Range': { description: 'The bytes of this part', required: true, schema: text },
  'WWW-Authenticate': { description: '`Bearer`', required: true, schema: text },
}

const retryAfter = headerRef('Retry-After-Always')

const extraHeaders: Record<number, JsonObject> = {
  401: { 'WWW-Authenticate': headerRef('WWW-Authenticate') },
  409: { 'Retry-After': headerRef('Retry-After') },
  429: { 'Retry-After': retryAfter },
  503: { 'Retry-After': retryAfter },
}

const header = (name: string, description: string, schema: JsonObject): JsonObject => ({
  name,
  in: 'header',
  required: false,
  description,
  schema,
})

/** Request headers with the same meaning on every operation. */
export const parameters: JsonObject = {
  IdempotencyKey: header(
    'Idempotency-Key',
    'Makes a retry safe for 24 h: the same key and body get the stored response',
    { type: 'string', minLength: 1, maxLength: 255, pattern: '^[!-~]+$' },
  ),
  IfMatch: header(
    'If-Match',
    'The ETag of the version that was read, or a list of them: 412 when a writable field has changed since',
    text,
  ),
  IfNoneMatch: header('If-None-Match', 'ETags of stored responses: 304 when one is current', text),
}
