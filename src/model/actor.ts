// Who acts: an authenticated user, or the program itself.
import type { TokenScope } from './personal-token.ts'
import type { Role } from './user.ts'

/** What authenticated the actor. Control entries that revoke name it. */
export type Credential =
  | { kind: 'session'; sessionId: string }
  /** A personal access token. */
  | { kind: 'token'; tokenId: string; scopes: readonly TokenScope[] }
  /** The program itself acts, for a user (`seed`) or for none. */
  | { kind: 'system' }

/** An authenticated user. The role comes from the database row, never from a token. */
export interface Actor {
  userId: string
  role: Role
  credential: Credential
  /** Of an admin in one request: the projects in which only the right of admins permitted what it did. */
  overrides?: Set<string>
}

/** The actor for one request or frame, in which its overrides are collected. */
export const forRequest = (actor: Actor): Actor =>
  actor.role === 'admin' ? { ...actor, overrides: new Set() } : actor

/** The program itself: a worker, a command, or a request whose client has not authenticated. */
export interface SystemActor {
  userId: null
  credential: { kind: 'system' }
  /** The caller under whose limits the database calls run, such as `address:<key>`; null for no limits. */
  caller: string | null
}

/** The process itself, without limits: only for what no request and no frame causes. */
export const systemActor: SystemActor = { userId: null, credential: { kind: 'system' }, caller: null }

/** For sign-up, sign-in and refresh, where the actor is not known before the transaction. */
export const systemActorFor = (caller: string): SystemActor => ({ ...systemActor, caller })

/** Null where the actor has not authenticated by a session. */
export const sessionIdOf = ({ credential }: Actor): string | null =>
  credential.kind === 'session' ? credential.sessionId : null

/** The id of the session or personal access token that authenticated the actor; null for another credential. */
export const credentialIdOf = ({ credential }: Actor): string | null =>
  credential.kind === 'session'
    ? credential.sessionId
    : credential.kind === 'token'
      ? credential.tokenId
      : null
