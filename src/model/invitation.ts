// Links that are sent by mail, and invitations to register, which admins send.
import { Type, type Static } from '@sinclair/typebox'
import { Id, Instant, Nullable } from './scalar.ts'
import { Email } from './user.ts'

export type LinkKind = 'password_reset' | 'verification' | 'invitation'

export const Invitation = Type.Object(
  {
    id: Id(),
    email: Email,
    createdAt: Instant(),
    expiresAt: Instant('After it the link is refused'),
    acceptedAt: Nullable(Instant()),
  },
  { additionalProperties: false },
)
export type Invitation = Static<typeof Invitation>

export const NewInvitation = Type.Object({ email: Email }, { additionalProperties: false })
export type NewInvitation = Static<typeof NewInvitation>
