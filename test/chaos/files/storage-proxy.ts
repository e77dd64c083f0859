// A proxy in front of an object store that fails the way stores do, one call a connection: error answers, slow ones, lost
// ones, refused and half-open connections.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

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
  const sockets = new Set<Socket>()
  let calls = 0
  const keep = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  }
  const listener = createServer((client) => {
    keep(client)
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
    const server = connect(target, '127.0.0.1')
    keep(server)
    const delayMs = delaysMs[mode] ?? 0
    const isLost = mode === 'losing' && calls % 2 === 0
    if (begun) server.write(begun)
    client.pipe(server)
    server.on('data', (bytes) => {
      if (isLost) client.resetAndDestroy()
      else if (delayMs > 0) setTimeout(() => client.write(bytes), delayMs)
      else client.write(bytes)
    })
    server.on('close', () => setTimeout(() => client.end(), delayMs))
    client.on('close', () => server.destroy())
  }
  const proxy: StorageProxy = {
    port: 0,
    mode: 'healthy',
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => listener.close(resolve))
    },
  }
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP listener has an address
  proxy.port = (listener.address() as AddressInfo).port
  return proxy
}
