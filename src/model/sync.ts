// The response of GET /api/sync: the same frames that sockets send.
import { Type } from '@sinclair/typebox'
import { Id, Instant, Nullable, Word } from './scalar.ts'

const Cursor = Type.String({ examples: ['k3v9x1q8.11.4711'] })
const Scope = Type.String({ examples: ['project:01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42'] })

/** One entry of the log. Clients ignore members they do not know. */
export const Event = Type.Object({
  t: Word('event'),
  scope: Scope,
  cursor: Cursor,
  version: Type.Integer({
    minimum: 1,
    description: "The entity's version, or the entry's number where the entity has none",
  }),
  at: Instant(),
  type: Type.String({ examples: ['task.updated'] }),
  id: Nullable(Id()),
  data: Type.Optional(
    Type.Unknown({ description: 'The full current value, in the shape of the REST response' }),
  ),
  changed: Type.Optional(Type.Array(Type.String(), { description: 'Changed fields of an update' })),
  omitted: Type.Optional(
    Type.Array(Type.String(), { description: 'Fields left out because the frame would be too large' }),
  ),
  actor: Nullable(Id()),
  op: Type.Optional(Type.String({ description: 'Idempotency-Key of the write' })),
})

export const SyncAnswer = Type.Object({
  scopes: Type.Array(
    Type.Object({
      scope: Scope,
      events: Type.Array(Event),
      cursor: Cursor,
      more: Type.Boolean({ description: 'More events exist: repeat the request at once' }),
    }),
  ),
})
