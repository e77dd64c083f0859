// Users, sessions and the response of sign-in. Invariant: no response contains a password or its hash.
import { Type, type Static } from '@sinclair/typebox'
import { Id, Instant, Nullable, Word } from './scalar.ts'
import { Text } from './text.ts'

export const Role = Word('user', 'admin')
export type Role = Static<typeof Role>

export const Name = Text({ minLength: 1, maxLength: 100, examples: ['Ada Lovelace'] })

/** Neither white space and controls nor what separates addresses and names in headers of mails. */
const atom = String.raw`[^\s@<>()\[\],;:\\".\u0000-\u001f\u007f-\u009f]+`
/** A label of a domain: letters of any script, digits, and hyphens inside. */
const end = String.raw`[^\s\u0000-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a0]`
const inner = String.raw`[^\s\u0000-\u002c\u002e\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a0]`
const label = `${end}(?:${inner}{0,61}${end})?`

/**
 * RFC 5321 and 6531 without quoted local parts and address literals; white space around it is removed. Without `format`,
 * which white space does not fit.
 */
export const emailPattern = `^\\s*(?=[^@]{1,64}@)${atom}(?:\\.${atom})*@${label}(?:\\.${label})*\\s*$`

/** An address of an account: `normaliseEmail` enforces the pattern. */
export const Email = Text({
  minLength: 3,
  maxLength: 254,
  pattern: emailPattern,
  examples: ['ada@example.com'],
})

/** An address that is looked up: whatever is none has no account. */
export const GivenEmail = Text({ minLength: 3, maxLength: 254, examples: ['ada@example.com'] })

/** Keywords of a body that names a person by exactly one of `email` and `userId`. */
export const namesOnePerson = { oneOf: [{ required: ['email'] }, { required: ['userId'] }] }

/** The path of a person's picture, another one for another picture; null for none. */
export const AvatarUrl = Nullable(
  Type.Unsafe<string>(
    Type.String({ examples: ['/api/users/01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42/avatar?v=4f9d2c71ab35'] }),
  ),
)

export const User = Type.Object(
  {
    id: Id(),
    email: Email,
    name: Name,
    role: Role,
    timeZone: Type.String({ description: 'An IANA name', examples: ['Europe/Berlin'] }),
    emailVerified: Type.Boolean(),
    avatarUrl: AvatarUrl,
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
    avatarUrl: AvatarUrl,
    email: Type.Optional(Email),
  },
  {
    additionalProperties: false,
    examples: [
      { id: '01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42', name: 'Ada Lovelace', avatarUrl: null }, // to others
    ],
  },
)
export type PublicUser = Static<typeof PublicUser>

export const Session = Type.Object(
  {
    id: Id(),
    userAgent: Type.String({ examples: ['Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0'] }),
    ip: Type.String({ examples: ['203.0.113.6'] }),
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
