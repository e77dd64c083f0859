// Who acts: the authenticated user with role and credential.
import type { Role } from './user.ts'

/** An authenticated person. The role comes from the database row, never from a token. */
export interface Actor {
  userId: string
  role: Role
  sessionId: string
}
