// The internal HTTP server of every role: /livez, /readyz, /version and /metrics for supervisors and Prometheus. Listens on
// loopback by default (`INTERNAL_HOST`): clients do not reach it, so it requires no credentials.
import packageJson from '../../package.json' with { type: 'json' }
import { settledWithin } from '../async/timeout.ts'
import { AppError, codes } from '../errors.ts'
import { codeOfError, listenFailure } from '../start/failure.ts'
import { metricsType } from './exposition.ts'

export interface InternalServerOptions {
  host: string
  /** 0: a free port. */
  port: number
  /** Takes a free port where `port` is in use, instead of failing. */
  orFree?: boolean
  /** The setting of the port, for the error where it is taken. */
  setting: string
}

export interface InternalAnswers {
  /** In the text format of Prometheus. */
  metrics: () => Promise<string>
  /** The status of a role that has no readiness of its own on another port. */
  readiness?: () => Promise<{ status: 200 | 503; body: object }>
}

export interface InternalServer extends AsyncDisposable {
  port: number
  /** From now on the role has started: until then /readyz and /metrics are 503. */
  answer(answers: InternalAnswers): void
}

const stopTimeoutMs = 1_000

/**
 * Binds the port, which a role does before it begins any work: a port that is taken ends the start with nothing begun.
 * @throws StartFailure where the port cannot be bound.
 */
export const serveInternally = (options: InternalServerOptions): InternalServer => {
  const { host, port, orFree = false, setting } = options
  let answers: InternalAnswers | null = null
  const serve: Parameters<typeof Bun.serve>[0] = {
    hostname: host,
    port,
    reusePort: false,
    routes: {
      '/livez': { GET: () => json(200, { status: 'up' }) },
      '/version': { GET: () => json(200, version) },
      '/metrics': {
        GET: async (request) =>
          answers
            ? new Response(await answers.metrics(), { headers: { ...fresh, 'Content-Type': metricsType } })
            : problem(request, new AppError('unavailable')),
      },
      '/readyz': {
        GET: async (request) => {
          if (!answers) return json(503, { status: 'down', parts: { process: 'down' } })
          if (!answers.readiness) return problem(request, new AppError('not_found'))
          const { status, body } = await answers.readiness()
          return json(status, body)
        },
      },
    },
    fetch: (request) => problem(request, new AppError('not_found')),
    error: () => problem(null, new AppError('internal')),
  }
  let server: Bun.Server<undefined>
  try {
    server = Bun.serve(serve)
  } catch (error) {
    if (!orFree || codeOfError(error) !== 'EADDRINUSE')
      throw listenFailure(error, { setting, hostSetting: 'INTERNAL_HOST', host, port })
    server = Bun.serve({ ...serve, port: 0 })
  }
  return {
    port: server.port!,
    answer: (given) => {
      answers = given
    },
    async [Symbol.asyncDispose]() {
      await settledWithin(stopTimeoutMs, server.stop(false))
      await server.stop(true)
    },
  }
}

const version = { name: packageJson.name, version: packageJson.version, runtime: `bun ${Bun.version}` }

const fresh = { 'Cache-Control': 'no-store' }

const json = (status: number, body: unknown, type = 'application/json'): Response =>
  new Response(JSON.stringify(body), { status, headers: { 'Content-Type': type, ...fresh } })

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
