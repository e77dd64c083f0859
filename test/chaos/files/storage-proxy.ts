// A proxy in front of an object store that fails the way stores do, one call a connection: error answers, slow ones, lost
// ones, refused and half-open connections.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export type StorageMode =
  | 'healthy'
  /** Every call is answered with 500, and nothing is done. */
  | 'failing'
  /** Every answer comes 1.5 s late. */
  | 'slow'
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

const slowMs = 1_500
const failure = 'HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'

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
    else forward(client, mode)
  })
  const forward = (client: Socket, mode: StorageMode): void => {
    const server = connect(target, '127.0.0.1')
    keep(server)
    const isLost = mode === 'losing' && calls % 2 === 0
    client.pipe(server)
    server.on('data', (bytes) => {
      if (isLost) client.resetAndDestroy()
      else if (mode === 'slow') setTimeout(() => client.write(bytes), slowMs)
      else client.write(bytes)
    })
    server.on('close', () => setTimeout(() => client.end(), mode === 'slow' ? slowMs : 0))
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
