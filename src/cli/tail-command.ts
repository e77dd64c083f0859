// `tail`: follows the log from a terminal until it is interrupted or its standard output is closed, or lists and requeues
// the dead letters of consumers. Events go to standard output, everything else to standard error.
import { parseArgs } from 'node:util'
import { messageOf } from '../errors.ts'
import { parseDeadLetterId, type DeadLetterId } from '../model/dead-letter-id.ts'
import { eventLine } from './event-line.ts'
import { tail, type Places } from './tail.ts'
import { TailEnded } from './tail-sign-in.ts'

type Environment = Record<string, string | undefined>

const usage = `Usage: bun run tail -- [--scope project:<id>|user:me [--cursor C]] [--url U] [--json]
                       [--token T | --email E --password P]
       bun run tail -- --dead [--requeue <consumer>/<shard>.<seq>]… [--json]
  --scope    only this; without it every project of the person, also new ones, and the person's own scope
  --cursor   show what follows it first; the last one is printed at the end
  --url      address of a server (http://127.0.0.1:3000)
  --json     events as they are, one a line
  --dead     what consumers gave up on, from the database in DATABASE_URL
  --requeue  with --dead: handle such an entry again, exactly once; may be repeated
TASKTIDE_TOKEN and TASKTIDE_PASSWORD stand for --token and --password, out of sight of other users.`

/** @returns 0 after an interruption or when the reader is gone, 1 where following cannot go on, 2 for bad options. */
export const tailCommand = async (environment: Environment, args: string[]): Promise<number> => {
  const note = (text: string): void => console.error(text)
  const options = optionsOf(environment, args)
  if (typeof options === 'string') {
    note(`${options}\n\n${usage}`)
    return 2
  }
  if (options.help) {
    note(usage)
    return 0
  }
  if (options.dead) {
    const { listDeadLetters, requeueDeadLetters } = await import('./dead-letters.ts')
    const { letters, json } = options
    if (letters.length > 0) return requeueDeadLetters(environment, letters, json)
    return listDeadLetters(environment, json)
  }
  const { url, scope, json, cursor, token, credentials } = options
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort())
  let isReaderGone = false
  process.stdout.on('error', () => {
    isReaderGone = true // as with `tail | head -1`
    stop.abort()
  })
  try {
    const places = await tail({
      url,
      scope: scope ?? null,
      cursor: cursor ?? null,
      token,
      credentials,
      show: (event) => process.stdout.write(`${json ? JSON.stringify(event) : eventLine(event)}\n`),
      note,
      signal: stop.signal,
    })
    if (!isReaderGone) note(describePlaces(places))
    return 0
  } catch (error) {
    if (!(error instanceof TailEnded)) throw error
    note(error.message)
    return 1
  }
}

/** The options with which to resume, for each scope with a cursor. */
const describePlaces = (places: Places): string => {
  const lines = [...places].filter(([, cursor]) => cursor !== null)
  if (lines.length === 0) return 'Stopped'
  return `Stopped; go on with\n${lines.map(([scope, cursor]) => `  --scope ${scope} --cursor ${cursor}`).join('\n')}`
}

/** The options, or what is wrong with them. */
const optionsOf = (environment: Environment, args: string[]) => {
  try {
    const { values } = parseArgs({
      args,
      options: {
        scope: { type: 'string' },
        cursor: { type: 'string' },
        url: { type: 'string', default: 'http://127.0.0.1:3000' },
        token: { type: 'string' },
        email: { type: 'string' },
        password: { type: 'string' },
        json: { type: 'boolean', default: false },
        dead: { type: 'boolean', default: false },
        requeue: { type: 'string', multiple: true, default: [] },
        help: { type: 'boolean', default: false },
      },
    })
    const url = serverUrl(values.url)
    const token = values.token ?? environment['TASKTIDE_TOKEN'] ?? null
    const password = values.password ?? environment['TASKTIDE_PASSWORD']
    const { email } = values
    const credentials = email !== undefined && password !== undefined ? { email, password } : null
    const letters: DeadLetterId[] = []
    for (const text of values.requeue) {
      const letter = parseDeadLetterId(text)
      if (!letter) return `--requeue takes <consumer>/<shard>.<seq>, as --dead lists them, not ${text}`
      letters.push(letter)
    }
    if (letters.length > 0 && !values.dead) return '--requeue needs --dead.'
    if (!values.help && !values.dead) {
      if (url === null)
        return `--url must be the address of a server, such as http://127.0.0.1:3000, not ${values.url}`
      if (values.cursor !== undefined && values.scope === undefined)
        return '--cursor needs the --scope it belongs to.'
      if (token === null && !credentials) return 'Give a token, or an e-mail address and a password.'
    }
    return { ...values, url: url ?? '', token, credentials, letters }
  } catch (error) {
    return `${messageOf(error).split('. ')[0]}.` // the rest of it is about positional arguments
  }
}

const hostAndPort = /^(?:[\w.-]+|\[[\da-f:]+\]):\d+$/i

/** `host:port` is taken for http; null for what is no address of a server. */
const serverUrl = (text: string): string | null => {
  const address = hostAndPort.test(text) ? `http://${text}` : text
  if (!URL.canParse(address)) return null
  const { protocol, origin, pathname, search, hash } = new URL(address)
  const isPlain = pathname === '/' && search === '' && hash === ''
  return isPlain && (protocol === 'http:' || protocol === 'https:') ? origin : null
}
