// `user`: administers accounts from the operator's shell, whether or not a server runs: the first admin, lost passwords,
// accounts to disable. Passwords are never arguments, which other users of the machine see.
import { parseArgs } from 'node:util'
import { openWriter, type Writer } from '../app/compose-writer.ts'
import { createPasswords } from '../auth/passwords.ts'
import { readConfig } from '../config.ts'
import {
  changeByOperator,
  createByOperator,
  endSessionsByOperator,
  resetByOperator,
  sessionsOf,
  type Changed,
} from '../domain/users/operator.ts'
import { AppError } from '../errors.ts'
import { createLog } from '../log.ts'
import { canonicalEmail } from '../model/text-form.ts'
import { textFault } from '../model/text.ts'

const usage = `Usage: bun src/main.ts user <command> <email>…
  create <email> [--name N] [--admin] [--password-stdin]
                     make an account with a verified address; prints the password it makes,
                     unless one is on standard input
  promote <email>…   make accounts admins
  disable <email>…   end all sessions of the accounts, close their sockets and refuse sign-ins; their data stays
  enable <email>…    let disabled accounts sign in again
  reset <email> [--password-stdin]
                     set another password, which is printed unless it is on standard input; all sessions
                     and tokens of the account end
  sessions <email> [--end]
                     list the live sessions of an account; --end ends them and the personal access tokens
Every command works while servers run, which apply it at once, and while none does. DATABASE_URL and REDIS_URL
say where. Exit codes: 0 done, 1 an account is missing or the change was refused, 2 for a bad command line.`

interface Options {
  name: string | undefined
  admin: boolean
  passwordStdin: boolean
  end: boolean
}

interface Command {
  /** Options it has. */
  options: (keyof Options)[]
  takesMany: boolean
  run: (writer: Writer, emails: string[], options: Options) => Promise<number>
}

const noted = async (
  emails: string[],
  change: (email: string) => Promise<Changed>,
  texts: { changed: string; unchanged: string },
): Promise<number> => {
  let code = 0
  for (const email of emails) {
    const result = await change(email)
    if (result === 'unknown') {
      console.error(`There is no account ${email}.`)
      code = 1
    } else console.log(`${email} ${texts[result]}.`)
  }
  return code
}

const passwords = createPasswords(1)

const commands: Record<string, Command> = {
  create: {
    options: ['name', 'admin', 'passwordStdin'],
    takesMany: false,
    async run(writer, [email], { name, admin, passwordStdin }) {
      const password = passwordStdin ? await givenPassword() : newPassword()
      const chosen = name ?? email!.slice(0, email!.indexOf('@')).slice(0, 100)
      const fault = textFault(chosen, { minLength: 1, maxLength: 100 })
      if (fault !== null) throw refusal('/name', fault)
      const role = admin ? 'admin' : 'user'
      const user = await createByOperator(
        { ...writer, passwords },
        { email: email!, name: chosen, role, password },
      )
      console.log(`${user.email} is made, with the role ${role}.`)
      if (!passwordStdin) console.log(`Its password is ${password}`)
      return 0
    },
  },
  promote: {
    options: [],
    takesMany: true,
    run: (writer, emails) =>
      noted(emails, (email) => changeByOperator(writer, email, { role: 'admin' }), {
        changed: 'is an admin',
        unchanged: 'was an admin already',
      }),
  },
  disable: {
    options: [],
    takesMany: true,
    run: (writer, emails) =>
      noted(emails, (email) => changeByOperator(writer, email, { disabled: true }), {
        changed: 'is disabled',
        unchanged: 'was disabled already',
      }),
  },
  enable: {
    options: [],
    takesMany: true,
    run: (writer, emails) =>
      noted(emails, (email) => changeByOperator(writer, email, { disabled: false }), {
        changed: 'is enabled',
        unchanged: 'was not disabled',
      }),
  },
  reset: {
    options: ['passwordStdin'],
    takesMany: false,
    async run(writer, emails, { passwordStdin }) {
      const password = passwordStdin ? await givenPassword() : newPassword()
      const reset = (email: string) => resetByOperator({ ...writer, passwords }, email, password)
      const text = 'has another password; its sessions and tokens have ended'
      const code = await noted(emails, reset, { changed: text, unchanged: text })
      if (code === 0 && !passwordStdin) console.log(`Its password is ${password}`)
      return code
    },
  },
  sessions: {
    options: ['end'],
    takesMany: false,
    async run(writer, [email], { end }) {
      if (end) {
        const text = 'has no session and no token any more'
        return noted([email!], (one) => endSessionsByOperator(writer, one), {
          changed: text,
          unchanged: text,
        })
      }
      const sessions = await sessionsOf(writer, email!)
      if (sessions === null) {
        console.error(`There is no account ${email}.`)
        return 1
      }
      for (const { id, createdAt, lastSeenAt, ip, userAgent } of sessions)
        console.log(`${id}  begun ${createdAt}  seen ${lastSeenAt}  ${ip}  ${printable(userAgent)}`)
      if (sessions.length === 0) console.log(`${email} has no session.`)
      return 0
    },
  },
}

/** @returns the exit code, as the usage lists them. */
export const userCommand = async (
  environment: Record<string, string | undefined>,
  args: string[],
): Promise<number> => {
  if (args.includes('--help')) {
    console.error(usage)
    return 0
  }
  const parsed = parse(args)
  if (typeof parsed === 'string') {
    console.error(`${parsed}\n\n${usage}`)
    return 2
  }
  const config = readConfig(environment, ['databaseUrl', 'redisUrl', 'logLevel'])
  await using writer = await openWriter(config, createLog('user', config.logLevel))
  try {
    return await parsed.command.run(writer, parsed.emails, parsed.options)
  } catch (error) {
    if (!(error instanceof AppError) || error.status >= 500) throw error
    console.error([error.message, ...(error.details.errors ?? []).map(described)].join('\n'))
    return 1
  }
}

/** What to run; a text where the line is wrong. */
const parse = (args: string[]): string | { command: Command; emails: string[]; options: Options } => {
  const [verb, ...rest] = args
  if (verb === undefined) return 'Say what to do with which account.'
  if (!Object.hasOwn(commands, verb)) return `There is no command user ${verb}.`
  const command = commands[verb]!
  const names = { name: 'name', admin: 'admin', passwordStdin: 'password-stdin', end: 'end' } as const
  const known = Object.fromEntries(
    command.options.map((option) => [
      names[option],
      { type: option === 'name' ? ('string' as const) : ('boolean' as const) },
    ]),
  )
  let read
  try {
    read = parseArgs({ args: rest, options: known, allowPositionals: true })
  } catch {
    const wrong = rest.find(
      (one) => one.startsWith('-') && !Object.hasOwn(known, one.replace(/^--|=.*$/g, '')),
    )
    return wrong === undefined
      ? `An option of user ${verb} lacks its value.`
      : `user ${verb} has no option ${wrong}.`
  }
  const { values, positionals } = read
  if (positionals.length === 0)
    return `Give the e-mail address of ${command.takesMany ? 'each' : 'the'} account to ${verb}.`
  if (!command.takesMany && positionals.length > 1) return `user ${verb} takes one e-mail address.`
  const { name, admin, end } = values
  return {
    command,
    emails: positionals.map(canonicalEmail),
    options: {
      name: typeof name === 'string' ? name : undefined,
      admin: admin === true,
      passwordStdin: values['password-stdin'] === true,
      end: end === true,
    },
  }
}

const described = ({ pointer, detail }: { pointer: string; detail: string }): string =>
  `${pointer.slice(1) || 'It'} ${detail}.`

const refusal = (pointer: string, detail: string): AppError =>
  new AppError('validation_failed', undefined, { errors: [{ pointer, detail }] })

/** The first line of standard input. */
const givenPassword = async (): Promise<string> => {
  const [password = ''] = (await Bun.stdin.text()).split(/\r?\n/, 1)
  const fault = textFault(password, { minLength: 8, maxLength: 128, untrimmed: true })
  if (fault !== null) throw refusal('/password', fault)
  return password
}

/** 120 bits, as 20 characters. */
const newPassword = (): string =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(15))).toString('base64url')

/** Text of a client without what a terminal interprets. */
const printable = (text: string): string => text.replaceAll(/\p{C}/gu, '\uFFFD')
