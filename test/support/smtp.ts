// A real SMTP server on a free port that keeps what it accepts and fails as planned. Invariant: `received` holds
// exactly the mails that were answered with 250, or would have been, had the connection lived.
import { readFile } from 'node:fs/promises'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'

export interface ReceivedMail {
  to: string[]
  from: string
  /** As sent, with CRLF. */
  source: string
  /** Header by lower-case name, unfolded. */
  header(name: string): string | undefined
  /** Whether the connection was encrypted. */
  secure: boolean
  user: string | undefined
}

/** What the server does with a step; a number answers with that code. */
export interface SmtpBehaviour {
  onRecipient?: (address: string) => number | undefined
  /** Of the whole message: `drop` closes the connection in place of the 250, after the mail was kept. */
  onMessage?: (mail: ReceivedMail) => number | 'drop' | undefined | Promise<number | 'drop' | undefined>
  /** Closes the connection after this many bytes of the message. */
  dropAfterBytes?: number
}

export interface TestSmtp extends AsyncDisposable {
  readonly port: number
  readonly url: string
  readonly received: ReceivedMail[]
  /** Connections so far. */
  readonly connections: number
  /** Mails in `received` whose 250 the client may not have read: each may be sent again. */
  readonly lostAnswers: number
  behaviour: SmtpBehaviour
  /** Stops listening: connections are refused until `start`, on the same port. */
  stop(): Promise<void>
  start(): Promise<void>
}

const tlsFile = (name: string): Promise<string> =>
  readFile(join(import.meta.dir, '..', 'data', 'tls', name), 'utf8')

/** An error that smtp-server answers with its code. */
const answer = (code: number): Error =>
  Object.assign(new Error(`planned answer for <someone@example.com>`), { responseCode: code })

const parsed = (source: string): ((name: string) => string | undefined) => {
  const headers = new Map(
    source
      .slice(0, source.indexOf('\r\n\r\n'))
      .replaceAll(/\r\n[ \t]+/g, ' ')
      .split('\r\n')
      .map((line) => [
        line.slice(0, line.indexOf(':')).toLowerCase(),
        line.slice(line.indexOf(':') + 1).trim(),
      ]),
  )
  return (name) => headers.get(name.toLowerCase())
}

export const startSmtp = async (options: SMTPServerOptions = {}): Promise<TestSmtp> => {
  const received: ReceivedMail[] = []
  const [key, cert] = await Promise.all([tlsFile('key.pem'), tlsFile('certificate.pem')])
  /** Sessions whose mail was answered with 250, while they last. */
  const answered = new Set<string>()
  let connections = 0
  let lostAnswers = 0
  let port = 0
  let server: SMTPServer
  const smtp: Pick<TestSmtp, 'behaviour'> = { behaviour: {} }

  const socketOf = (sessionId: string): Socket | undefined => {
    for (const connection of server.connections)
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the server keeps its sockets in this private field
      if (connection.id === sessionId) return (connection as unknown as { _socket: Socket })._socket
    return undefined
  }

  const open = async (): Promise<void> => {
    server = new SMTPServer({
      authOptional: true,
      key,
      cert,
      logger: false,
      onConnect(_session, callback) {
        connections += 1
        callback()
      },
      onClose({ id }) {
        answered.delete(id)
      },
      onAuth(auth, _session, callback) {
        if (auth.username === 'user' && auth.password === 'p@ss/word') callback(null, { user: auth.username })
        else callback(answer(535))
      },
      onRcptTo({ address }, _session, callback) {
        const code = smtp.behaviour.onRecipient?.(address)
        callback(code === undefined ? null : answer(code))
      },
      onData(stream, session, callback) {
        const chunks: Buffer[] = []
        let length = 0
        stream.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
          length += chunk.length
          const { dropAfterBytes } = smtp.behaviour
          if (dropAfterBytes !== undefined && length >= dropAfterBytes) socketOf(session.id)?.destroy()
        })
        stream.on('end', () => void finish(Buffer.concat(chunks).toString(), session, callback))
      },
      ...options,
    })
    server.on('error', () => {}) // of connections that are cut on purpose
    const listening = Promise.withResolvers<void>()
    server.listen(port, '127.0.0.1', () => listening.resolve())
    await listening.promise
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server has an address of this kind
    port = (server.server.address() as AddressInfo).port
  }

  const finish = async (
    source: string,
    session: Parameters<NonNullable<SMTPServerOptions['onData']>>[1],
    callback: (error?: Error | null) => void,
  ): Promise<void> => {
    const { mailFrom, rcptTo } = session.envelope
    const mail: ReceivedMail = {
      to: rcptTo.map(({ address }) => address),
      from: mailFrom ? mailFrom.address : '',
      source,
      header: parsed(source),
      secure: session.secure,
      user: session.user === undefined ? undefined : String(session.user),
    }
    const planned = await smtp.behaviour.onMessage?.(mail)
    if (typeof planned === 'number') return callback(answer(planned))
    received.push(mail)
    const socket = socketOf(session.id)
    if (planned === 'drop') socket?.destroy()
    if (!socket || socket.destroyed) lostAnswers += 1
    else answered.add(session.id)
    callback()
  }

  const close = (): Promise<void> =>
    new Promise((resolve) => {
      for (const { id } of server.connections) {
        if (answered.delete(id)) lostAnswers += 1
        socketOf(id)?.destroy()
      }
      server.close(() => resolve())
    })

  await open()
  return {
    get port() {
      return port
    },
    get url() {
      return `smtp://127.0.0.1:${port}`
    },
    received,
    get connections() {
      return connections
    },
    get lostAnswers() {
      return lostAnswers
    },
    get behaviour() {
      return smtp.behaviour
    },
    set behaviour(behaviour) {
      smtp.behaviour = behaviour
    },
    stop: close,
    start: open,
    [Symbol.asyncDispose]: close,
  }
}

/** The decoded part of a mail with this content type: `text/plain` or `text/html`. */
export const partOf = ({ source }: Pick<ReceivedMail, 'source'>, type: string): string => {
  const part = source
    .split(/^--[^\r\n]+\r\n/m)
    .find((candidate) => new RegExp(`^Content-Type: ${type}`, 'im').test(candidate.slice(0, 400)))
  if (part === undefined) throw new Error(`the mail has no part of type ${type}`)
  const start = part.indexOf('\r\n\r\n') + 4
  const [head, body] = [part.slice(0, start), part.slice(start)]
  if (/base64/i.test(head)) return Buffer.from(body, 'base64').toString()
  if (!/quoted-printable/i.test(head)) return body
  const bytes = body
    .replaceAll(/=\r\n/g, '')
    .replaceAll(/=([0-9A-F]{2})/g, (_all, hex: string) => String.fromCodePoint(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString()
}

/** The plain text of a mail as it lies in a file. */
export const plainPartOf = (source: string): string => partOf({ source }, 'text/plain')
