// What every error looks like: RFC 9457, with the stable code and the request's id. The codes are those of
// src/errors.ts.
import { Type, type Static } from '@sinclair/typebox'
import { errorCodes } from '../errors.ts'
import { Word } from './scalar.ts'

export const Problem = Type.Object(
  {
    type: Type.String({ description: '`/problems/<code>`', examples: ['/problems/validation_failed'] }),
    title: Type.String({ description: 'The same for every occurrence of the code' }),
    status: Type.Integer({ minimum: 400, maximum: 599 }),
    detail: Type.String({ description: 'What is wrong this time, for people' }),
    instance: Type.String({ description: 'The path of the request' }),
    code: Word(...errorCodes),
    requestId: Type.String({ description: 'Also in X-Request-Id and in the log of the server' }),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          pointer: Type.String({ description: 'RFC 6901, into the body or the query', examples: ['/title'] }),
          detail: Type.String({ examples: ['must not be empty'] }),
        }),
      ),
    ),
  },
  {
    description: 'RFC 9457 problem details; some codes carry further members, such as `currentVersion`',
    additionalProperties: true, // said aloud: Elysia closes a response's schema that leaves it open
  },
)
export type Problem = Static<typeof Problem>
