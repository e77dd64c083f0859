// The body of every error: RFC 9457 problem details with a stable code (src/errors.ts) and the request's id.
import { Type, type Static } from '@sinclair/typebox'
import { errorCodes } from '../errors.ts'
import { Word } from './scalar.ts'

export const Problem = Type.Object(
  {
    type: Type.String({ description: '`/problems/<code>`', examples: ['/problems/validation_failed'] }),
    title: Type.String({ description: 'The same for every occurrence of the code' }),
    status: Type.Integer({ minimum: 400, maximum: 599 }),
    detail: Type.String({ description: 'Explanation of this occurrence, for people' }),
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
    additionalProperties: true, // explicit, because Elysia closes response schemas that do not set it
  },
)
export type Problem = Static<typeof Problem>
