// Schemas of comments on tasks and of the bodies that write them.
import { Type, type Static } from '@sinclair/typebox'
import { Id, Instant } from './scalar.ts'
import { Text } from './text.ts'
import { PublicUser } from './user.ts'

/** How many users one comment may mention. */
export const maxMentions = 50

const Body = Text({ minLength: 1, maxLength: 10_000, keepsSpace: true, examples: ['Done, see the draft.'] })

const Mentions = Type.Unsafe<string[]>(
  Type.Array(Id(), { maxItems: maxMentions, description: 'Ids of users who can read the task' }),
)

export const Comment = Type.Object(
  {
    id: Id(),
    taskId: Id(),
    author: Type.Union([PublicUser, Type.Null()]),
    body: Body,
    mentions: Mentions,
    version: Type.Integer({ minimum: 1 }),
    createdAt: Instant(),
    updatedAt: Instant(),
  },
  { additionalProperties: false },
)
export type Comment = Static<typeof Comment>

export const NewComment = Type.Object(
  { body: Body, mentions: Type.Optional(Mentions) },
  { additionalProperties: false, examples: [{ body: 'Done, see the draft.' }] },
)
export type NewComment = Static<typeof NewComment>

/** RFC 7396 merge patch: null removes all mentions; a body has no default. */
export const CommentPatch = Type.Partial(
  Type.Object({ body: Body, mentions: Type.Union([Mentions, Type.Null()]) }),
  { additionalProperties: false, minProperties: 1, examples: [{ body: 'Done, see the second draft.' }] },
)
export type CommentPatch = Static<typeof CommentPatch>
