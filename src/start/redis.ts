// What Redis answers to a start, and later to a connection, as a sentence. Errors of the driver carry the arguments
// of their command, the password of AUTH among them: only their code and the first word of their message are read.
import {
  codeOfError,
  configurationFailure,
  networkFailure,
  StartFailure,
  unavailableFailure,
} from './failure.ts'

export interface RedisPlace {
  host: string
  port: number
}

const trustCure = 'name the file of the authority in NODE_EXTRA_CA_CERTS'

const refusal = (): StartFailure =>
  configurationFailure('REDIS_URL: Redis refuses the password: correct the user or the password')

export const replica = (): StartFailure =>
  configurationFailure('REDIS_URL: Redis is a replica, which only reads: name the primary')

/** Keys of one command, and the channels of pub/sub, would be spread over nodes that this process has no connection to. */
export const cluster = (): StartFailure =>
  configurationFailure(
    'REDIS_URL names a Redis Cluster, and Tasktide needs one server: name a Redis or Valkey that runs without cluster mode',
  )

export const sentinel = (): StartFailure =>
  configurationFailure(
    'REDIS_URL names a Redis Sentinel, which stores nothing: name the primary, or an address that follows it',
  )

/** The first word of an answer → the sentence. */
const answers: Record<string, () => StartFailure> = {
  WRONGPASS: refusal,
  NOAUTH: () =>
    configurationFailure(
      'REDIS_URL: Redis asks for a password: put it into the URL (redis://:password@host)',
    ),
  NOPERM: () =>
    configurationFailure(
      'REDIS_URL: the user lacks rights in Redis: allow it all commands and keys (ACL SETUSER)',
    ),
  DENIED: () =>
    configurationFailure('REDIS_URL: Redis runs in protected mode: give it a password (requirepass)'),
  LOADING: () => unavailableFailure('REDIS_URL: Redis is still loading its data'),
  OOM: () =>
    unavailableFailure('REDIS_URL: Redis refuses writes because its memory is full: raise maxmemory'),
  READONLY: () => replica(),
  MOVED: cluster,
  ASK: cluster,
  CROSSSLOT: cluster,
  CLUSTERDOWN: cluster,
  MISCONF: () =>
    unavailableFailure(
      'REDIS_URL: Redis refuses writes because it cannot save to its disk: free space on it',
    ),
  NOREPLICAS: () =>
    unavailableFailure('REDIS_URL: Redis refuses writes because too few replicas are connected'),
  MASTERDOWN: () => unavailableFailure('REDIS_URL: Redis has lost its primary'),
}

/** What Redis itself answers, without an address; null for what is no such answer. */
export const redisAnswer = (error: unknown): StartFailure | null => {
  const message = error instanceof Error ? error.message : ''
  const word = /^-?([A-Z]+)\b/.exec(message)?.[1] ?? ''
  const answer = answers[word]
  if (answer) return answer()
  if (/invalid password|invalid username-password|AUTH failed/i.test(message)) return refusal()
  if (/max number of clients/.test(message))
    return unavailableFailure('REDIS_URL: Redis has no connection left: raise maxclients')
  if (/not allowed in cluster mode/i.test(message)) return cluster()
  if (/DB index is out of range|invalid DB index/i.test(message))
    return configurationFailure('REDIS_URL ends with a database that Redis does not have: end it with /0')
  return null
}

/** Null for what is none of them. */
export const redisFailure = (error: unknown, place: RedisPlace): StartFailure | null => {
  if (error instanceof StartFailure) return error
  const answer = redisAnswer(error)
  if (answer) return answer
  const message = error instanceof Error ? error.message : ''
  const { host, port } = place
  const network = networkFailure(error, { setting: 'REDIS_URL', part: 'Redis', host, port }, trustCure)
  if (network) return network
  if (/ETIMEDOUT|timed? ?out/i.test(`${codeOfError(error)} ${message}`))
    return unavailableFailure(`REDIS_URL: Redis at ${host}:${port} does not answer in time`)
  if (/Connection is closed|ECONNRESET|EPIPE|socket/i.test(`${codeOfError(error)} ${message}`))
    return unavailableFailure(
      `REDIS_URL: ${host}:${port} closed the connection: check that Redis listens there`,
    )
  return null
}
