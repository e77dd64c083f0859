// A server of a test on a free port of 127.0.0.1. Invariant: disposing closes its connections too, also those that a client
// keeps open, so that the test ends.
import type { AddressInfo, Server, Socket } from 'node:net'

export interface LoopbackListener extends AsyncDisposable {
  port: number
}

/** @param server of `node:net` or `node:http`, not listening yet. */
export const listenOnLoopback = async (server: Server): Promise<LoopbackListener> => {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  return {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP listener has an address of this kind
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
