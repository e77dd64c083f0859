// Detects that a port speaks TLS although the URL does not use it, or the other way round. Neither side reports this by
// itself: it closes the connection.
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { RedisAddress } from '../settings/redis-url.ts'
import { configurationFailure, type StartFailure } from '../start/failure.ts'

const timeoutMs = 1_500

/** The failure to report; null where TLS is not the reason. */
export const tlsMismatch = async ({ host, port, tls }: RedisAddress): Promise<StartFailure | null> => {
  if (tls)
    return (await answersPlainly(host, port))
      ? configurationFailure(
          `REDIS_URL: ${host}:${port} does not speak TLS: write redis:// in place of rediss://, or name its TLS port`,
        )
      : null
  return (await answersTls(host, port))
    ? configurationFailure(`REDIS_URL: ${host}:${port} wants TLS: write rediss:// in place of redis://`)
    : null
}

/** Redis replies to an inline PING with a status or an error, also before AUTH. */
const answersPlainly = (host: string, port: number): Promise<boolean> => {
  const answer = Promise.withResolvers<boolean>()
  const socket = connect({ host, port, timeout: timeoutMs })
  socket.on('connect', () => socket.write('PING\r\n'))
  socket.on('data', (data) => answer.resolve(/^[+-]/.test(data.toString('latin1'))))
  for (const event of ['error', 'timeout', 'close']) socket.on(event, () => answer.resolve(false))
  return answer.promise.finally(() => socket.destroy())
}

const answersTls = (host: string, port: number): Promise<boolean> => {
  const answer = Promise.withResolvers<boolean>()
  const socket = connectTls({ host, port, rejectUnauthorized: false, timeout: timeoutMs })
  socket.on('secureConnect', () => answer.resolve(true))
  for (const event of ['error', 'timeout', 'close']) socket.on(event, () => answer.resolve(false))
  const timer = setTimeout(() => answer.resolve(false), timeoutMs)
  return answer.promise.finally(() => {
    clearTimeout(timer)
    socket.destroy()
  })
}
