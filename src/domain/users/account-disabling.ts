// Disabling an account by its address, for the operator's command: it keeps its data and can no longer sign in. Its
// sessions end in the same transaction as the control entry that makes every process drop its tokens and close its
// sockets (4403).
import { selectCredentials } from '../../db/users/users.ts'
import { systemWrite, write, type WriteDeps } from '../write.ts'
import { setAccount } from './administration.ts'

export type Disabling = 'disabled' | 'already disabled' | 'unknown'

/** @param email trimmed and lower-case. Running it again changes nothing. */
export const disableAccount = async (deps: WriteDeps, email: string): Promise<Disabling> => {
  const { value } = await write<Disabling>(deps, systemWrite, async (tx) => {
    const found = await selectCredentials(tx, email)
    if (!found) return { value: 'unknown', entries: [] }
    const { account, entries } = await setAccount(tx, found.user.id, { disabled: true }, null)
    if (account?.email !== email) throw new Error('The account changed meanwhile; run the command again')
    return { value: entries.length > 0 ? 'disabled' : 'already disabled', entries }
  })
  return value
}
