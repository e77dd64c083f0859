// Stands before an S3 server: notes each request with its headers and the status of the server, and gives chosen ones an
// answer of its own. The `Host` header is passed on, so that signatures stay valid.
import {
  createServer,
  request as sendRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http'
import { listenOnLoopback } from './loopback-listener.ts'

export interface S3Request {
  method: string
  /** Path and query. */
  url: string
  headers: IncomingHttpHeaders
  /** Of the server; null while it has not answered or was not asked. */
  status: number | null
}

/**
 * `refuse`: the server is not asked; `lose`: it is asked, and its answer is replaced; `holdUntil`: it is asked then, whether or
 * not the client still waits.
 */
export type Fault = { refuse: number } | { lose: number } | { holdUntil: Promise<unknown> }

export interface S3Recorder extends AsyncDisposable {
  port: number
  readonly requests: S3Request[]
  /** Called with each request; undefined passes it on. */
  fault: (request: S3Request) => Fault | undefined
}

/** @param target port of the S3 server. */
export const s3Recorder = async (target: number): Promise<S3Recorder> => {
  const requests: S3Request[] = []
  const error = '<?xml version="1.0"?><Error><Code>Injected</Code><Message>m</Message></Error>'

  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    const noted: S3Request = { method, url, headers, status: null }
    requests.push(noted)
    const fault = recorder.fault(noted)
    const fail = (status: number): void =>
      void response.writeHead(status, { 'Content-Type': 'application/xml', Connection: 'close' }).end(error)
    if (fault !== undefined && 'refuse' in fault) {
      request.resume().on('end', () => fail(fault.refuse))
      return
    }
    if (fault !== undefined && 'holdUntil' in fault) {
      const pieces: Buffer[] = []
      request.on('data', (piece: Buffer) => pieces.push(piece))
      const send = (): void => {
        const late = sendRequest({ host: '127.0.0.1', port: target, method, path: url, headers })
        late.on('response', (answer: IncomingMessage) => {
          answer.resume().on('end', () => {
            noted.status = answer.statusCode!
            response.destroy()
          })
        })
        late.on('error', () => response.destroy())
        late.end(Buffer.concat(pieces))
      }
      request.on('end', () => void fault.holdUntil.then(send))
      return
    }
    const onward = sendRequest({ host: '127.0.0.1', port: target, method, path: url, headers })
    onward.on('response', (answer: IncomingMessage) => {
      noted.status = answer.statusCode!
      if (fault !== undefined) {
        answer.resume().on('end', () => fail(fault.lose))
        return
      }
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => request.socket.destroy())
    request.pipe(onward)
  })
  const listener = await listenOnLoopback(server)
  const recorder: S3Recorder = { ...listener, requests, fault: () => undefined }
  return recorder
}
