// One request as bytes, for what fetch would tidy up before sending: odd hosts, methods, paths and lengths.
import { withTimeout } from '../../src/async/timeout.ts'

export interface RawAnswer {
  status: number
  /** Names in lower case. */
  headers: Record<string, string>
  body: string
}

/** @param head the request line and headers, without `Connection`; lines may end with \n. */
export const sendRaw = async (url: string, head: string, body = ''): Promise<RawAnswer> => {
  const { hostname, port } = new URL(url)
  const closed = Promise.withResolvers<string>()
  let received = ''
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data(_socket, bytes) {
        received += bytes.toString('latin1')
      },
      close: () => closed.resolve(received),
      error: (_socket, error) => closed.reject(error),
    },
  })
  const lines = [...head.trim().split(/\s*\n\s*/), 'Connection: close', '', body]
  socket.write(lines.join('\r\n'))
  try {
    return parse(await withTimeout(5_000, head.trim().split('\n')[0]!, closed.promise))
  } finally {
    socket.end()
  }
}

const parse = (text: string): RawAnswer => {
  const end = text.indexOf('\r\n\r\n')
  const [first = '', ...lines] = text.slice(0, end).split('\r\n')
  return {
    status: Number(first.split(' ')[1]),
    headers: Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
      }),
    ),
    body: text.slice(end + 4),
  }
}
