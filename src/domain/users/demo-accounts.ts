// The accounts that `seed` creates. Their passwords are public, so production does not start while one of them can
// sign in with its own.
import type { Passwords } from '../../auth/passwords.ts'
import { ConfigError } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import { selectCredentials } from '../../db/users/users.ts'

export const demoAccounts = [
  { email: 'admin@example.com', name: 'Admin', password: 'admin123', role: 'admin' },
  { email: 'user@example.com', name: 'User', password: 'user123', role: 'user' },
] as const

interface DemoDeps {
  db: CallerDatabase
  passwords: Passwords
}

/** Addresses of the demo accounts that are enabled and still have their public password. */
export const usableDemoAccounts = async ({ db, passwords }: DemoDeps): Promise<string[]> => {
  const usable: string[] = []
  for (const { email, password } of demoAccounts) {
    const found = await db.of('seed').read((sql) => selectCredentials(sql, email))
    if (!found || found.isDisabled) continue
    const { valid } = await passwords.verify(password, found.passwordHash)
    if (valid) usable.push(email)
  }
  return usable
}

/** @throws ConfigError naming the accounts and the command that disables them. */
export const refuseDemoAccounts = async (deps: DemoDeps): Promise<void> => {
  const usable = await usableDemoAccounts(deps)
  if (usable.length === 0) return
  throw new ConfigError([
    `DATABASE_URL names a database with demo accounts whose passwords are public: ${usable.join(', ')}; ` +
      `disable them with bun src/main.ts user disable ${usable.join(' ')}, or change their passwords`,
  ])
}
