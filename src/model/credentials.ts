// Bodies of registration, sign-in and changes of the own account.
import { Type, type Static } from '@sinclair/typebox'
import { Nullable, TimeZone } from './scalar.ts'
import { Text } from './text.ts'
import { Email, GivenEmail, Name, Role } from './user.ts'

/** A new password. It is used exactly as sent: not trimmed. */
export const NewPassword = Text({
  minLength: 8,
  maxLength: 128,
  untrimmed: true,
  description: 'Not among the 3,000 commonest',
  examples: ['correct horse battery staple'],
})

/** A password to verify; `maxLength` bounds the bytes that are hashed. */
export const GivenPassword = Text({
  minLength: 1,
  maxLength: 1_000,
  untrimmed: true,
  examples: ['correct horse battery staple'],
})

export const RefreshToken = Text({ minLength: 1, maxLength: 4096, untrimmed: true })

const closed = { additionalProperties: false } as const

/** The token of a link that was sent by mail: one of reset, verification or invitation. */
export const LinkToken = Text({
  minLength: 1,
  maxLength: 200,
  untrimmed: true,
  description: 'From the link in the mail; valid once',
})

/** `invitation` is required where the server registers by invitation only. */
export const Registration = Type.Object(
  {
    email: Email,
    name: Name,
    password: NewPassword,
    timeZone: Type.Optional(TimeZone),
    invitation: Type.Optional(LinkToken),
  },
  closed,
)
export type Registration = Static<typeof Registration>

export const SignIn = Type.Object({ email: GivenEmail, password: GivenPassword }, closed)
export type SignIn = Static<typeof SignIn>

/** Without `refreshToken` the cookie's token is used. */
export const Refresh = Type.Object({ refreshToken: Type.Optional(RefreshToken) }, closed)

/** RFC 7396 merge patch. A new `email` needs `currentPassword`. */
export const UserPatch = Type.Object(
  {
    email: Type.Optional(Email),
    name: Type.Optional(Name),
    timeZone: Type.Optional(Nullable(TimeZone)),
    currentPassword: Type.Optional(GivenPassword),
  },
  {
    additionalProperties: false,
    minProperties: 1,
    examples: [{ name: 'Ada Lovelace', timeZone: 'Europe/London' }],
  },
)
export type UserPatch = Static<typeof UserPatch>

export const PasswordChange = Type.Object({ currentPassword: GivenPassword, password: NewPassword }, closed)
export type PasswordChange = Static<typeof PasswordChange>

/** By an admin. Without `password` the account has none: its owner sets one by a reset. */
export const NewAccount = Type.Object(
  {
    email: Email,
    name: Name,
    password: Type.Optional(Nullable(NewPassword)),
    role: Type.Optional(Nullable(Role)),
    timeZone: Type.Optional(Nullable(TimeZone)),
  },
  closed,
)
export type NewAccount = Static<typeof NewAccount>

/** By an admin. RFC 7396 merge patch; null is `user` and `false`. */
export const AccountPatch = Type.Object(
  {
    role: Type.Optional(Nullable(Role)),
    disabled: Type.Optional(Nullable(Type.Unsafe<boolean>(Type.Boolean()))),
  },
  { additionalProperties: false, minProperties: 1 },
)
export type AccountPatch = Static<typeof AccountPatch>

export const PasswordResetRequest = Type.Object({ email: Email }, closed)
export type PasswordResetRequest = Static<typeof PasswordResetRequest>

export const PasswordReset = Type.Object({ token: LinkToken, password: NewPassword }, closed)
export type PasswordReset = Static<typeof PasswordReset>

export const EmailVerification = Type.Object({ token: LinkToken }, closed)
export type EmailVerification = Static<typeof EmailVerification>

export const AccountDeletion = Type.Object({ password: GivenPassword }, closed)
