// What S3 checks of a presigned PUT and the S3 server of the tests does not, in front of that server: the length, the
// signature (SigV4, in the query), and the rule of the bucket for pages of other origins. It can also lose a connection
// in the middle of a body.
import { createHash, createHmac } from 'node:crypto'
import { createServer, request as sendRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { listenOnLoopback } from './loopback-listener.ts'

export interface PresignedGate extends AsyncDisposable {
  /** The endpoint that URLs are signed for. */
  url: string
  /** The status of each PUT, in order; 0 for one whose connection was closed. */
  readonly puts: number[]
  /** The next PUT loses its connection after this many bytes of its body. */
  cutNextAfter(bytes: number): void
  /** The next PUT is stored, and its connection closed in place of an answer. */
  loseNextAnswer(): void
  /** Answers each PUT with this status; null passes them on. */
  refuseWith: number | null
}

/** What the bucket's rule allows: PUT with this header, from any page. */
const corsHeaders = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Methods': 'PUT',
  'Access-Control-Allow-Headers': 'content-type',
}

/** @param target port of the S3 server. */
export const presignedGate = async (target: number, secretAccessKey: string): Promise<PresignedGate> => {
  const puts: number[] = []
  let cutAfter: number | null = null
  let isNextLost = false

  const answer = (response: ServerResponse, status: number, code: string): void => {
    puts.push(status)
    response.writeHead(status, { ...corsHeaders, Connection: 'close' })
    response.end(`<Error><Code>${code}</Code></Error>`)
  }

  const cut = (request: IncomingMessage, after: number): void => {
    let received = 0
    request.on('data', (chunk: Buffer) => {
      received += chunk.byteLength
      if (received < after || request.socket.destroyed) return
      puts.push(0)
      request.socket.destroy()
    })
  }

  const pass = (request: IncomingMessage, response: ServerResponse): void => {
    const isLost = isNextLost
    isNextLost = false
    const { method, url, headers } = request
    const onward = sendRequest(
      { host: '127.0.0.1', port: target, method, path: url, headers },
      (stored: IncomingMessage) => {
        puts.push(isLost ? 0 : stored.statusCode!)
        if (isLost) {
          request.socket.destroy()
          return
        }
        response.writeHead(stored.statusCode!, { ...stored.headers, ...corsHeaders })
        stored.pipe(response)
      },
    )
    onward.on('error', () => request.socket.destroy())
    request.on('close', () => {
      if (!request.complete) onward.destroy()
    })
    request.pipe(onward)
  }

  const server = createServer((request, response) => {
    if (request.method === 'OPTIONS') return void response.writeHead(204, corsHeaders).end()
    if (gate.refuseWith !== null) return answer(response, gate.refuseWith, 'AccessDenied')
    if (request.headers['content-length'] === undefined) return answer(response, 411, 'MissingContentLength')
    if (!isSigned(request, secretAccessKey)) return answer(response, 403, 'SignatureDoesNotMatch')
    if (cutAfter === null) return pass(request, response)
    const after = cutAfter
    cutAfter = null
    cut(request, after)
  })
  const listener = await listenOnLoopback(server)
  const gate: PresignedGate = {
    url: `http://127.0.0.1:${listener.port}`,
    puts,
    refuseWith: null,
    cutNextAfter: (bytes) => void (cutAfter = bytes),
    loseNextAnswer: () => void (isNextLost = true),
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  }
  return gate
}

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/** AWS Signature Version 4 of a query, whose payload is not signed. */
const isSigned = ({ method, url, headers }: IncomingMessage, secretAccessKey: string): boolean => {
  const { pathname, searchParams } = new URL(url!, 'http://store')
  const given = searchParams.get('X-Amz-Signature')
  const names = searchParams.get('X-Amz-SignedHeaders')?.split(';') ?? []
  const at = searchParams.get('X-Amz-Date') ?? ''
  const [, date, region, service, kind] = searchParams.get('X-Amz-Credential')?.split('/') ?? []
  const escape = (text: string): string =>
    encodeURIComponent(text).replaceAll(
      /[!'()*]/g,
      (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
    )
  const query = [...searchParams]
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${escape(name)}=${escape(value)}`)
    .toSorted()
    .join('&')
  const sent = names.map((name) => `${name}:${String(headers[name] ?? '').trim()}\n`).join('')
  const canonical = [method, pathname, query, sent, names.join(';'), 'UNSIGNED-PAYLOAD'].join('\n')
  const scope = [date, region, service, kind].join('/')
  const hash = createHash('sha256').update(canonical).digest('hex')
  const key = [region!, service!, kind!].reduce<Buffer>(hmac, hmac(`AWS4${secretAccessKey}`, date!))
  return given === hmac(key, ['AWS4-HMAC-SHA256', at, scope, hash].join('\n')).toString('hex')
}
