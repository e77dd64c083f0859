// A proxy in front of PostgreSQL that counts what a client sends: statements, COMMITs and round trips. Counts do not depend
// on the speed of the machine, so that they can be asserted.
import { createServer, connect, type AddressInfo, type Socket } from 'node:net'

export interface MessageCounts {
  /** Executions of statements, BEGIN, COMMIT and ROLLBACK included. */
  statements: number
  commits: number
  /** Times a client sent after it had received: on each connection, statements that are sent together count once. */
  roundTrips: number
}

export interface CountingProxy extends AsyncDisposable {
  /** The database's address through the proxy. */
  url: string
  counts(): MessageCounts
}

const startupHeader = 4
const messageHeader = 5

/** Reads the messages of one client: the first has no type byte. */
const readerOf = (onMessage: (type: string, body: Buffer) => void): ((bytes: Buffer) => void) => {
  let rest: Buffer = Buffer.alloc(0)
  let isStarted = false
  return (bytes) => {
    rest = Buffer.concat([rest, bytes])
    for (;;) {
      const header = isStarted ? messageHeader : startupHeader
      if (rest.length < header) return
      const end = rest.readUInt32BE(header - 4) + header - 4
      if (rest.length < end) return
      if (isStarted) onMessage(String.fromCodePoint(rest[0]!), rest.subarray(header, end))
      isStarted = true
      rest = rest.subarray(end)
    }
  }
}

export const countingProxy = async (databaseUrl: string): Promise<CountingProxy> => {
  const target = new URL(databaseUrl)
  const own = new URL(databaseUrl)
  const counts: MessageCounts = { statements: 0, commits: 0, roundTrips: 0 }
  const open = new Set<Socket>()
  const listener = createServer((client) => {
    const server = connect({ host: target.hostname, port: Number(target.port) })
    for (const socket of [client, server]) {
      open.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => open.delete(socket))
    }
    let hasReceived = true
    /** Of prepared statements by name, to recognise COMMIT. */
    const texts = new Map<string, string>()
    let bound = ''
    const read = readerOf((type, body) => {
      const [first = '', second = ''] = body.toString('latin1').split('\0')
      if (type === 'P') texts.set(first, second)
      if (type === 'B') bound = texts.get(second) ?? ''
      if (type !== 'E' && type !== 'Q') return
      counts.statements += 1
      if ((type === 'Q' ? first : bound) === 'commit') counts.commits += 1
    })
    client.on('data', (bytes: Buffer) => {
      if (hasReceived) counts.roundTrips += 1
      hasReceived = false
      read(bytes)
      server.write(bytes)
    })
    server.on('data', (bytes) => {
      hasReceived = true
      client.write(bytes)
    })
    client.on('end', () => server.end())
    server.on('end', () => client.end())
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP listener has a TCP address
  const { port } = listener.address() as AddressInfo
  own.host = `127.0.0.1:${port}`
  return {
    url: own.href,
    counts: () => ({ ...counts }),
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy()
      await new Promise((resolve) => listener.close(resolve))
    },
  }
}
