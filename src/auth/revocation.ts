// Which control entries of a user's scope revoke which credential. Every server process applies them to its memoised
// tokens and its open sockets.
import type { Credential } from '../model/actor.ts'
import type { Control } from '../model/event.ts'

/** Whether the entry ends this credential of the scope's user. */
export const isRevokedBy = (credential: Credential, control: Control): boolean => {
  switch (control.kind) {
    case 'disabled':
      return true
    case 'session':
      return credential.kind === 'session' && credential.sessionId === control.sessionId
    case 'token':
      return credential.kind === 'token' && credential.tokenId === control.tokenId
    case 'sessions':
      return (
        credential.kind === 'token' ||
        (credential.kind === 'session' && credential.sessionId !== control.except)
      )
    default:
      return false
  }
}

/** Whether the entry says nothing of the credential: it names another one. */
export const isAboutAnother = (credential: Credential, control: Control | null): boolean =>
  (control?.kind === 'session' || control?.kind === 'token') && !isRevokedBy(credential, control)
