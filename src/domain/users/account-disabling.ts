// Disabling an account: it keeps its data and can no longer sign in. Its sessions end in the same transaction as
// the control entry that makes every process drop its tokens and close its sockets (4403).
import { disableUser, lockUser, selectCredentials } from '../../db/users/users.ts'
import { controlEntry, endSessions } from './sessions.ts'
import { systemWrite, write, type WriteDeps } from '../write.ts'

export type Disabling = 'disabled' | 'already disabled' | 'unknown'

/** @param email trimmed and lower-case. Running it again changes nothing. */
export const disableAccount = async (deps: WriteDeps, email: string): Promise<Disabling> => {
  const { value } = await write<Disabling>(deps, systemWrite, async (tx) => {
    const found = await selectCredentials(tx, email)
    const account = found && (await lockUser(tx, found.user.id))
    if (!account || account.user.email !== email) return { value: 'unknown', entries: [] }
    if (account.isDisabled) return { value: 'already disabled', entries: [] }
    const { id } = account.user
    await disableUser(tx, id)
    const ended = await endSessions(tx, id, null)
    return { value: 'disabled', entries: [...ended, controlEntry(id, { kind: 'disabled' })] }
  })
  return value
}
