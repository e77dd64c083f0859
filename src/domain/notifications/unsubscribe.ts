// Ends mails by the link in one of them.
import type { Unsubscription } from '../../auth/unsubscribe-tokens.ts'
import { AppError } from '../../errors.ts'
import { changePreferences } from './preferences.ts'
import type { WriteDeps } from '../write.ts'

/** Turns mails about these kinds off for the user. For an account that is gone there is nothing to do. */
export const stopMails = async (deps: WriteDeps, { userId, kinds }: Unsubscription): Promise<void> => {
  // The link authorizes this change of this user's preferences and nothing else.
  const actor = { userId, role: 'user', credential: { kind: 'system' } } as const
  const off = Object.fromEntries(kinds.map((kind) => [kind, { email: false }]))
  try {
    await changePreferences(deps, { actor, claim: null }, { kinds: off })
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'unauthenticated')) throw error
  }
}
