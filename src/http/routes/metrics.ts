// GET /metrics on the public port: without credentials in development, for administrators in production. Prometheus reads the
// internal port, which asks for no credentials.
import { Type } from '@sinclair/typebox'
import type { Config } from '../../config.ts'
import { AppError } from '../../errors.ts'
import { metricsType } from '../../metrics/exposition.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'

interface MetricsDeps {
  config: Pick<Config, 'env'>
  metrics: () => Promise<string>
}

export const metricsRoutes = ({ config, metrics }: MetricsDeps) => {
  const isOpen = config.env !== 'production'
  return new RouteGroup().get(
    '/metrics',
    async ({ identity }) => {
      if (!isOpen && identity?.actor.role !== 'admin') throw new AppError('forbidden')
      return {
        status: 200,
        headers: { 'Content-Type': metricsType, 'Cache-Control': 'no-store' },
        body: await metrics(),
      }
    },
    {
      response: { 200: Type.String() },
      detail: {
        ...describedIn('Operations')(
          'Metrics in the text format of Prometheus; in production for administrators',
          {
            access: isOpen ? 'public' : 'session',
            rateLimit: 'none',
            produces: 'text/plain',
          },
        ),
        operationId: 'metrics',
      },
    },
  )
}
