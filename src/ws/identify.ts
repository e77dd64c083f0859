// From a token to its identity. Invariant: in the tick in which an identity is accepted, no control entry has revoked
// it. A lookup of the session may be older than a control entry received meanwhile: then it is repeated.
import type { Identity } from '../auth/authenticator.ts'
import { isRevokedBy } from '../auth/revocation.ts'
import type { Credential } from '../model/actor.ts'
import { userScope } from '../model/scope.ts'
import { AppError, unavailable } from '../errors.ts'
import { type Control, type LogEntry } from '../model/event.ts'
import type { CloseReason } from '../model/frames.ts'
import type { SocketDeps } from './connection-handle.ts'

const maxLookups = 3

/** Calls `accept` with the identity of the token and returns its result. @throws AppError, see `closeReasonOf`. */
export const identify = async <T>(
  { authenticator, follower }: Pick<SocketDeps, 'authenticator' | 'follower'>,
  token: string,
  accept: (identity: Identity) => T,
): Promise<T> => {
  let received: LogEntry[] = []
  const stopListening = follower.onControl((entry) => received.push(entry))
  try {
    for (let lookup = 1; lookup <= maxLookups; lookup += 1) {
      received = []
      const { epoch } = follower
      const identity = await authenticator.authenticate(token)
      const { userId, credential } = identity.actor
      const isStale = received.some(
        ({ scope, control }) =>
          scope === userScope(userId) && closeReasonForControl(control, credential) !== null,
      )
      if (!isStale && epoch === follower.epoch) return accept(identity)
    }
    throw unavailable()
  } finally {
    stopListening()
  }
}

/** Why a control entry of a user's scope closes a socket of that credential; null where it does not. */
export const closeReasonForControl = (
  control: Control | null,
  credential: Credential,
): CloseReason | null => {
  if (control?.kind === 'role') return 'position_lost'
  return control && isRevokedBy(credential, control) ? 'revoked' : null
}

/** The close reason for a refused token. @throws the error itself where it is not a refusal. */
export const closeReasonOf = (error: unknown): CloseReason => {
  if (!(error instanceof AppError)) throw error
  if (error.kind === 'unavailable' || error.kind === 'rate_limited') return 'overloaded'
  return error.code === 'user_disabled' || error.details.extra?.['reason'] === 'revoked'
    ? 'revoked'
    : 'token_expired'
}
