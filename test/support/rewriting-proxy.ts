// A TCP proxy that replaces one text in what a server answers by another of the same length: a real server that
// reports another version.
import { connect, createServer } from 'node:net'
import { listenOnLoopback, type LoopbackListener } from './loopback-listener.ts'

export const rewritingProxy = (
  target: { host: string; port: number },
  replace: (answer: string) => string,
): Promise<LoopbackListener> => {
  const listener = createServer((client) => {
    const server = connect(target.port, target.host)
    server.on('error', () => {})
    client.pipe(server)
    // latin1 keeps every byte
    server.on('data', (data) => client.write(Buffer.from(replace(data.toString('latin1')), 'latin1')))
    server.on('end', () => client.end())
    client.on('close', () => server.destroy())
  })
  return listenOnLoopback(listener)
}
