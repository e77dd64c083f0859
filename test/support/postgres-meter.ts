// Counts what one process asks of PostgreSQL: a proxy that reads the protocol. Statements, round trips and commits do not
// depend on how fast the machine is, so that a test can hold a request to them.
import { connect, createServer, type Socket } from 'node:net'
import { listenOnLoopback } from './loopback-listener.ts'

export interface PostgresCounts {
  /** Without BEGIN, COMMIT and ROLLBACK. */
  statements: number
  /** Times the process had to wait for an answer on a connection; what is sent together counts once. */
  roundTrips: number
  /** Transactions that were begun and committed. */
  commits: number
  /** Statements by the command PostgreSQL completed, `SELECT`, `INSERT` … */
  commands: Record<string, number>
}

export interface PostgresMeter extends AsyncDisposable {
  /** The URL that leads through the meter. */
  url: string
  /** Since the last call, of connections whose application is `application`. */
  take(): PostgresCounts
}

const sslRequest = 80_877_103
const control = new Set(['BEGIN', 'COMMIT', 'ROLLBACK', 'SET'])

const none = (): PostgresCounts => ({ statements: 0, roundTrips: 0, commits: 0, commands: {} })

/** Splits a stream into messages of a type byte, a length and a body. The first of a client has no type. */
class Messages {
  #unread: Buffer = Buffer.alloc(0)

  constructor(private hasType: boolean) {}

  /** Messages that are complete, as type (empty for a startup message) and body. */
  read(chunk: Buffer): [string, Buffer][] {
    this.#unread = Buffer.concat([this.#unread, chunk])
    const found: [string, Buffer][] = []
    for (;;) {
      const head = this.hasType ? 1 : 0
      if (this.#unread.length < head + 4) return found
      const length = this.#unread.readInt32BE(head)
      if (this.#unread.length < head + length) return found
      const type = this.hasType ? String.fromCodePoint(this.#unread[0]!) : ''
      const body = this.#unread.subarray(head + 4, head + length)
      this.#unread = this.#unread.subarray(head + length)
      if (!this.hasType && body.readInt32BE(0) !== sslRequest) this.hasType = true
      found.push([type, body])
    }
  }
}

/** @param application of the connections that count, as `application_name` of their startup. */
export const meterPostgres = async (databaseUrl: string, application: string): Promise<PostgresMeter> => {
  const target = new URL(databaseUrl)
  let counts = none()

  const forward = (client: Socket): void => {
    const server = connect(Number(target.port), target.hostname)
    const fromClient = new Messages(false)
    const fromServer = new Messages(true)
    let isCounted = false
    let awaitsSsl = false
    let pending = 0
    for (const socket of [client, server]) {
      socket.on('error', () => {})
      socket.on('close', () => {
        client.destroy()
        server.destroy()
      })
    }
    client.on('data', (chunk: Buffer) => {
      for (const [type, body] of fromClient.read(chunk)) {
        if (type === '') {
          awaitsSsl = body.readInt32BE(0) === sslRequest
          isCounted = body.toString('utf8', 4).includes(`application_name\0${application}\0`)
        } else if (isCounted && (type === 'S' || type === 'Q')) {
          if (pending === 0) counts.roundTrips += 1
          pending += 1
        }
      }
      server.write(chunk)
    })
    server.on('data', (chunk: Buffer) => {
      // The answer to a request for TLS is one byte and no message.
      const messages = awaitsSsl ? chunk.subarray(1) : chunk
      awaitsSsl = false
      for (const [type, body] of fromServer.read(messages)) {
        if (!isCounted) continue
        if (type === 'Z') pending = Math.max(0, pending - 1)
        if (type === 'C') complete(body.toString('utf8', 0, body.length - 1).split(' ')[0]!)
      }
      client.write(chunk)
    })
  }

  const complete = (command: string): void => {
    if (command === 'COMMIT') counts.commits += 1
    if (control.has(command)) return
    counts.statements += 1
    counts.commands[command] = (counts.commands[command] ?? 0) + 1
  }

  const listener = await listenOnLoopback(createServer(forward))
  const url = new URL(databaseUrl)
  url.port = String(listener.port)
  url.hostname = '127.0.0.1'
  return {
    url: url.href,
    take() {
      const taken = counts
      counts = none()
      return taken
    },
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  }
}
