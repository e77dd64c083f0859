// A TCP proxy that replaces one text in what a server answers by another of the same length: a real server that
// reports another version.
import { connect, createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'

export const rewritingProxy = async (
  target: { host: string; port: number },
  replace: (answer: string) => string,
): Promise<{ port: number } & AsyncDisposable> => {
  const sockets = new Set<Socket>()
  const listener = createServer((client) => {
    const server = connect(target.port, target.host)
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    client.pipe(server)
    // latin1 keeps every byte
    server.on('data', (data) => client.write(Buffer.from(replace(data.toString('latin1')), 'latin1')))
    server.on('end', () => client.end())
    client.on('close', () => server.destroy())
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  return {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP listener has an address
    port: (listener.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => listener.close(resolve))
    },
  }
}
