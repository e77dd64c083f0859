// A proxy in front of an object store that fails the way stores do, one call a connection: error answers, slow ones, lost
// ones, refused and half-open connections.
import { connect, createServer, type Socket } from 'node:net'
import { listenOnLoopback } from '../../support/loopback-listener.ts'

export type StorageMode =
  | 'healthy'
  /** Every call is answered with 500, and nothing is done. */
  | 'failing'
  /** The same for all but PUT. */
  | 'unreadable'
  /** Every answer comes 1.5 s late. */
  | 'slow'
  /** Every answer comes after the deadline of a call, 4 s: what it asked for is done. */
  | 'late'
  /** Every second call is done, and its answer is lost. */
  | 'losing'
  /** Connections are refused. */
  | 'away'
  /** Connections are accepted and never answered. */
  | 'half-open'

export interface StorageProxy extends AsyncDisposable {
  port: number
  mode: StorageMode
}

const delaysMs: Partial<Record<StorageMode, number>> = { slow: 1_500, late: 5_000 }
const failure = 'HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'

const isPut = (bytes: Buffer): boolean => bytes.toString('latin1', 0, 4) === 'PUT '

export const storageProxy = async (target: number): Promise<StorageProxy> => {
  let calls = 0
  const server = createServer((client) => {
    const { mode } = proxy
    calls += 1
    if (mode === 'away') client.resetAndDestroy()
    else if (mode === 'half-open') client.resume()
    else if (mode === 'failing') client.once('data', () => client.end(failure))
    else if (mode === 'unreadable')
      client.once('data', (data) => {
        const bytes = Buffer.from(data)
        if (isPut(bytes)) forward(client, mode, bytes)
        else client.end(failure)
      })
    else forward(client, mode)
  })
  const forward = (client: Socket, mode: StorageMode, begun?: Buffer): void => {
    const store = connect(target, '127.0.0.1')
    store.on('error', () => {})
    const delayMs = delaysMs[mode] ?? 0
    const isLost = mode === 'losing' && calls % 2 === 0
    if (begun) store.write(begun)
    client.pipe(store)
    store.on('data', (bytes) => {
      if (isLost) client.resetAndDestroy()
      else if (delayMs > 0) setTimeout(() => client.write(bytes), delayMs)
      else client.write(bytes)
    })
    store.on('close', () => setTimeout(() => client.end(), delayMs))
    client.on('close', () => store.destroy())
  }
  const proxy: StorageProxy = { ...(await listenOnLoopback(server)), mode: 'healthy' }
  return proxy
}
