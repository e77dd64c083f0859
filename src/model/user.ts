// Users, sessions and the response of sign-in. Invariant: no response contains a password or its hash.
import { Type, type Static } from '@sinclair/typebox'
import { Id, Instant, Nullable, TimeZone, Word } from './scalar.ts'
import { Text } from './text.ts'

export const Role = Word('user', 'admin')
export type Role = Static<typeof Role>

export const Name = Text({ minLength: 1, maxLength: 100, examples: ['Ada Lovelace'] })
export const Email = Text({ minLength: 3, maxLength: 254, examples: ['ada@example.com'] })

export const User = Type.Object(
  {
    id: Id(),
    email: Email,
    name: Name,
    role: Role,
    timeZone: TimeZone(),
    emailVerified: Type.Boolean(),
    avatarUrl: Nullable(Type.Unsafe<string>(Type.String())),
    createdAt: Instant(),
    updatedAt: Instant(),
  },
  { additionalProperties: false },
)
export type User = Static<typeof User>

/** A user as admins see it. A disabled account keeps its data and cannot sign in. */
export const Account = Type.Object(
  { ...User.properties, disabled: Type.Boolean() },
  { additionalProperties: false },
)
export type Account = Static<typeof Account>

/** The fields of a user that every signed-in user may read; `email` is for the user itself and for admins. */
export const PublicUser = Type.Object(
  {
    id: Id(),
    name: Name,
    avatarUrl: Nullable(Type.Unsafe<string>(Type.String())),
    email: Type.Optional(Email),
  },
  { additionalProperties: false },
)
export type PublicUser = Static<typeof PublicUser>

export const Session = Type.Object(
  {
    id: Id(),
    userAgent: Type.String(),
    ip: Type.String(),
    createdAt: Instant(),
    lastSeenAt: Instant(),
    current: Type.Boolean(),
  },
  { additionalProperties: false },
)
export type Session = Static<typeof Session>

/** Lifetime of an access token. */
export const accessTokenSeconds = 15 * 60

export const SessionAnswer = Type.Object(
  {
    user: User,
    accessToken: Type.String({ description: 'JWT, HS256' }),
    expiresIn: Type.Integer({ description: 'Seconds the access token is valid for' }),
    refreshToken: Type.String({ description: 'Opaque; valid for one refresh' }),
  },
  { additionalProperties: false },
)
export type SessionAnswer = Static<typeof SessionAnswer>
