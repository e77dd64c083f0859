// `user disable <email>…`: administers accounts from the operator's shell, whether or not a server runs.
import { openWriter } from '../app/compose.ts'
import { readConfig } from '../config.ts'
import { disableAccount } from '../domain/users/account-disabling.ts'
import { createLog } from '../log.ts'
import { canonicalEmail } from '../model/text-form.ts'

const usage = `Usage: bun src/main.ts user disable <email>…
  disable   end all sessions of the accounts, close their sockets and refuse sign-ins; their data stays`

/** @returns 0, 1 where an address has no account, 2 for what it cannot read. */
export const userCommand = async (
  environment: Record<string, string | undefined>,
  [verb, ...emails]: string[],
): Promise<number> => {
  if (verb === '--help') {
    console.error(usage)
    return 0
  }
  const fault = faultOf(verb, emails)
  if (fault !== null) {
    console.error(`${fault}\n\n${usage}`)
    return 2
  }
  const config = readConfig(environment, ['databaseUrl', 'redisUrl', 'logLevel'])
  await using writer = await openWriter(config, createLog('user', config.logLevel))
  let code = 0
  for (const email of emails) {
    const address = canonicalEmail(email)
    const result = await disableAccount(writer, address)
    if (result === 'unknown') {
      console.error(`There is no account ${address}.`)
      code = 1
    } else console.log(result === 'disabled' ? `${address} is disabled.` : `${address} was disabled already.`)
  }
  return code
}

const faultOf = (verb: string | undefined, emails: string[]): string | null => {
  if (verb === undefined) return 'Say what to do with which account.'
  if (verb !== 'disable') return `There is no command user ${verb}.`
  if (emails.length === 0) return 'Give the e-mail address of each account to disable.'
  const option = emails.find((email) => email.startsWith('-'))
  return option === undefined ? null : `user disable has no option ${option}.`
}
