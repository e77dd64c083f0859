// Personal access tokens: long-lived credentials with scopes. Invariant: the token itself is shown once, when it is made.
import { Type, type Static } from '@sinclair/typebox'
import { Id, Instant, Nullable, Word } from './scalar.ts'
import { Text } from './text.ts'

/** `read`: GET and subscriptions. `write`: everything that is open to tokens, reading included. */
export const tokenScopes = ['read', 'write'] as const
export type TokenScope = (typeof tokenScopes)[number]

const TokenName = Text({ minLength: 1, maxLength: 100, examples: ['Build server'] })

const Scopes = Type.Array(Word(...tokenScopes), {
  minItems: 1,
  maxItems: 10,
  description: '`write` includes `read`; repeats are merged',
  examples: [['read']],
})

export const NewPersonalToken = Type.Object(
  {
    name: TokenName,
    scopes: Scopes,
    expiresAt: Type.Optional(Nullable(Instant('In the future; null: the token does not expire'))),
  },
  { additionalProperties: false },
)
export type NewPersonalToken = Static<typeof NewPersonalToken>

const shape = {
  id: Id(),
  name: TokenName,
  scopes: Scopes,
  expiresAt: Nullable(Instant()),
  lastUsedAt: Nullable(Instant('To the minute')),
  createdAt: Instant(),
}

export const PersonalToken = Type.Object(shape, { additionalProperties: false })
export type PersonalToken = Static<typeof PersonalToken>

/** The answer to the creation, the only one with the token. */
export const IssuedToken = Type.Object(
  {
    ...shape,
    token: Type.String({ description: 'Not shown again', examples: ['ttp_6cS1…'] }),
  },
  { additionalProperties: false },
)
export type IssuedToken = Static<typeof IssuedToken>

/** Whether scopes permit reading or writing. */
export const permits = (scopes: readonly TokenScope[], needed: TokenScope): boolean =>
  needed === 'read' ? scopes.length > 0 : scopes.includes('write')
