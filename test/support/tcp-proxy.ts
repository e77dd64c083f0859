// A TCP proxy in front of a server that fails the way networks do. `blackhole` swallows bytes in both
// directions and answers nothing, without closing: what a client sees when a peer or a firewall has failed.
import { connect, createServer, Socket } from 'node:net'
import type { AddressInfo } from 'node:net'

export interface TcpProxy extends AsyncDisposable {
  port: number
  /** Bytes stop flowing on every connection, old and new, until `heal`; what was swallowed never arrives. */
  blackhole(): void
  /** New connections work again; the ones that were swallowed stay dead, as after a lost NAT entry. */
  heal(): void
  /** Closes every connection with a reset. */
  reset(): void
  /** Delay of each chunk, in each direction; their order stays. */
  latencyMs: number
  /** Delay of the end of one side beyond that of its bytes: for that long the other takes it for connected. */
  closeDelayMs: number
  /** Ends of one side that reached the other that late. */
  readonly lateCloses: number
  /** Open connections from clients. */
  readonly connections: number
  /** Connections from clients since the start, open or not. */
  readonly accepted: number
}

interface Pair {
  client: Socket
  server: Socket
  isDead: boolean
}

/** @param target where a healthy connection leads: a host and port or a unix socket. */
export const tcpProxy = async (
  target: { host: string; port: number } | { path: string },
): Promise<TcpProxy> => {
  const pairs = new Set<Pair>()
  let isBlackhole = false
  let accepted = 0
  let lateCloses = 0

  const forward = (pair: Pair, from: Socket, to: Socket): void => {
    const whenAlive = (act: () => void): void => {
      if (isBlackhole) pair.isDead = true
      if (!pair.isDead) act()
    }
    // One timer for the first in line: timers of their own, rounded and late, would overtake each other.
    const line: { dueAt: number; act: () => void }[] = []
    const advance = (): void => {
      while (line.length > 0 && line[0]!.dueAt <= performance.now()) whenAlive(line.shift()!.act)
      if (line.length > 0) setTimeout(advance, Math.max(0, line[0]!.dueAt - performance.now()))
    }
    const later = (delayMs: number, act: () => void): void => {
      if (delayMs === 0 && line.length === 0) return act()
      if (line.push({ dueAt: performance.now() + delayMs, act }) === 1) setTimeout(advance, delayMs)
    }
    from.on('data', (bytes) => whenAlive(() => later(proxy.latencyMs, () => to.write(bytes))))
    from.on('end', () => {
      whenAlive(() => {
        if (proxy.closeDelayMs > 0) lateCloses += 1
        later(proxy.latencyMs + proxy.closeDelayMs, () => to.end())
      })
      if (pair.isDead) from.destroy()
    })
    from.on('error', () => whenAlive(() => to.destroy()))
    from.on('close', () => {
      // The other end of a dead pair is not notified and stays open.
      whenAlive(() => later(proxy.latencyMs + proxy.closeDelayMs, () => to.destroy()))
      if (pair.server.pending) pair.server.destroy()
      if (pair.client.destroyed && pair.server.destroyed) pairs.delete(pair)
    })
  }

  const listener = createServer({ allowHalfOpen: true }, (client) => {
    // A connection into a blackhole does not reach the server, and must not cost it one.
    const server = isBlackhole ? new Socket() : connect({ ...target, allowHalfOpen: true })
    const pair: Pair = { client, server, isDead: isBlackhole }
    pairs.add(pair)
    accepted += 1
    forward(pair, client, pair.server)
    forward(pair, pair.server, client)
  })
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject)
    listener.listen(0, '127.0.0.1', resolve)
  })
  const reset = (): void => {
    for (const { client, server } of pairs) {
      client.resetAndDestroy()
      if (server.pending) server.destroy()
      else server.resetAndDestroy()
    }
  }

  const proxy: TcpProxy = {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP listener has a TCP address
    port: (listener.address() as AddressInfo).port,
    latencyMs: 0,
    closeDelayMs: 0,
    get lateCloses() {
      return lateCloses
    },
    get connections() {
      return [...pairs].filter(({ client }) => !client.destroyed).length
    },
    get accepted() {
      return accepted
    },
    blackhole: () => {
      isBlackhole = true
      for (const pair of pairs) pair.isDead = true
    },
    heal: () => {
      isBlackhole = false
    },
    reset,
    [Symbol.asyncDispose]: async () => {
      reset()
      await new Promise((resolve) => listener.close(resolve))
    },
  }
  return proxy
}
