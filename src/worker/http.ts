// The probes of a worker for its supervisor: /livez, /readyz, /version. Listens on loopback: clients do not reach it.
import packageJson from '../../package.json' with { type: 'json' }
import { settledWithin } from '../async/timeout.ts'
import { AppError, codes } from '../errors.ts'
import { listenFailure } from '../start/failure.ts'
import type { WorkerHealth } from './health.ts'

export interface HttpOptions {
  /** 0: a free port. */
  port: number
  examine: () => Promise<WorkerHealth>
}

export interface WorkerHttp extends AsyncDisposable {
  port: number
}

const stopTimeoutMs = 1_000

export const serveHealth = ({ port, examine }: HttpOptions): WorkerHttp => {
  const hostname = '127.0.0.1'
  const options: Parameters<typeof Bun.serve>[0] = {
    hostname,
    port,
    reusePort: false,
    routes: {
      '/livez': { GET: () => json(200, { status: 'up' }) },
      '/readyz': { GET: async () => readiness(await examine()) },
      '/version': { GET: () => json(200, version) },
    },
    fetch: (request) => problem(request, new AppError('not_found')),
    error: () => problem(null, new AppError('internal')),
  }
  let server: Bun.Server<undefined>
  try {
    server = Bun.serve(options)
  } catch (error) {
    throw listenFailure(error, { setting: 'WORKER_PORT', host: hostname, port })
  }
  return {
    port: server.port!,
    async [Symbol.asyncDispose]() {
      await settledWithin(stopTimeoutMs, server.stop(false))
      await server.stop(true)
    },
  }
}

const version = { name: packageJson.name, version: packageJson.version, runtime: `bun ${Bun.version}` }

const readiness = (health: WorkerHealth): Response => {
  const statuses = Object.values(health.parts)
  const status = statuses.includes('down') ? 'down' : statuses.includes('degraded') ? 'degraded' : 'up'
  return json(status === 'down' ? 503 : 200, { status, ...health })
}

const json = (status: number, body: unknown, type = 'application/json'): Response =>
  new Response(JSON.stringify(body), {
    status,
    headers: { 'Content-Type': type, 'Cache-Control': 'no-store' },
  })

const problem = (request: Request | null, { code, status }: AppError): Response =>
  json(
    status,
    {
      type: `/problems/${code}`,
      title: codes[code][1],
      status,
      code,
      ...(request && { instance: URL.parse(request.url)?.pathname ?? request.url.split('?', 1)[0] }),
    },
    'application/problem+json',
  )
