// The HTTP server of a process on its port, and how it stops.
import type { Server } from 'bun'
import { settledWithin } from '../async/timeout.ts'
import { listenFailure } from '../start/failure.ts'
import type { Connection } from '../ws/connection.ts'
import type { Sockets } from '../ws/sockets.ts'
import type { Deps } from './deps.ts'
import { createApp } from './http-app.ts'
import { requestsDeadlineMs } from './shutdown.ts'

export interface Listening {
  /** For several processes on one port, which their parent keeps. */
  sharesPort: boolean
}

/** @throws StartFailure where the port cannot be bound. */
export const listen = (deps: Deps, sockets: Sockets, { sharesPort }: Listening): Server<Connection> => {
  const { app } = createApp(deps, sockets)
  const { host, port } = deps.config
  const options = {
    port,
    hostname: host,
    // Bun shares by default: a stale second process would silently take half of the traffic.
    reusePort: sharesPort,
    // The app counts bodies and answers 413; this caps what is sent past it.
    maxRequestBodySize: 64 * 1024 * 1024,
    idleTimeout: 60,
    websocket: sockets.handlers,
  }
  try {
    app.listen(options)
  } catch (error) {
    throw listenFailure(error, { setting: 'PORT', host, port })
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Elysia types the server by its own sockets
  return app.server as unknown as Server<Connection>
}

/** Closes the port; sockets and requests continue. The result settles once all of them have ended. */
export const stopAccepting = (server: Server<Connection>): Promise<void> => server.stop(false)

/** Requests in flight may finish; those left after the deadline are cut. @param stopped of `stopAccepting`. */
export const stopListening = async (server: Server<Connection>, stopped: Promise<void>): Promise<void> => {
  await settledWithin(requestsDeadlineMs, stopped)
  await server.stop(true)
}
