// How long sign-ins take that fail for a wrong password and for an unknown address: measured on a server process, in
// turns, so that other load of the machine falls on both. A command and no test: other load moves medians.
import { startCluster } from '../support/cluster.ts'
import { testPassword } from '../support/world.ts'

export interface SignInTimes {
  /** Sign-ins of each kind. */
  count: number
  /** Different answers among all: status, body and headers, without what every answer has of its own. */
  answers: number
  medianMs: { wrongPassword: number; unknownAddress: number }
}

/** Between the medians, in milliseconds. */
export const maxDifferenceMs = 5

type Kind = keyof SignInTimes['medianMs']

const ownHeaders = new Set(['date', 'x-request-id'])

export const isEqual = ({ answers, medianMs }: SignInTimes): boolean =>
  answers === 1 && Math.abs(medianMs.wrongPassword - medianMs.unknownAddress) <= maxDifferenceMs

export const signInText = ({ count, answers, medianMs }: SignInTimes): string =>
  `${count} sign-ins with a wrong password and ${count} with an unknown address, in turns: medians ` +
  `${medianMs.wrongPassword} and ${medianMs.unknownAddress} ms (at most ${maxDifferenceMs} ms apart), ` +
  `${answers === 1 ? 'one answer' : `${answers} different answers`}.`

/** Starts PostgreSQL, Redis and one server for it. */
export const measureSignIns = async (count: number, report: (line: string) => void): Promise<SignInTimes> => {
  await using cluster = await startCluster({ servers: 1, workers: 0, report })
  const { url } = cluster.servers[0]!
  const send = (path: string, body: object): Promise<Response> =>
    fetch(url + path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
  const address = (): string => `person-${crypto.randomUUID()}@example.com`
  const known = address()
  const made = await send('/api/auth/register', { name: 'Ada', email: known, password: testPassword })
  if (made.status !== 201) throw new Error(`registering answered ${made.status}: ${await made.text()}`)

  const times: Record<Kind, number[]> = { wrongPassword: [], unknownAddress: [] }
  const answers = new Set<string>()
  const signIn = async (kind: Kind): Promise<void> => {
    const email = kind === 'wrongPassword' ? known : address()
    const startedAt = performance.now()
    const response = await send('/api/auth/login', { email, password: 'not the password' })
    const body: object = await response.json()
    times[kind].push(performance.now() - startedAt)
    const headers = [...response.headers].filter(([name]) => !ownHeaders.has(name))
    answers.add(JSON.stringify([response.status, headers, { ...body, requestId: '' }]))
  }
  report(`signing in ${2 * count} times`)
  for (let n = 0; n < count; n += 1) {
    // In either order: what the first of a pair leaves behind falls on both.
    const order: Kind[] =
      n % 2 === 0 ? ['wrongPassword', 'unknownAddress'] : ['unknownAddress', 'wrongPassword']
    for (const kind of order) await signIn(kind)
  }
  return {
    count,
    answers: answers.size,
    medianMs: { wrongPassword: median(times.wrongPassword), unknownAddress: median(times.unknownAddress) },
  }
}

const median = (values: number[]): number => {
  const sorted = values.toSorted((one, other) => one - other)
  return Math.round(sorted[Math.floor(sorted.length / 2)]! * 10) / 10
}
