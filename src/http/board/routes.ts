// The routes of the board's API. Invariant: loads nothing of the board, which is loaded by the first request for it.

/** Of the package's routes those that are served; with the parameters of their paths and queries. */
export const boardRoutes = [
  { method: 'get', path: '/api/queues', query: ['activeQueue', 'status', 'page', 'jobsPerPage'] },
  { method: 'get', path: '/api/redis/stats', query: [] },
  { method: 'get', path: '/api/job-schedulers', query: ['queueName'] },
  { method: 'get', path: '/api/queues/:queueName/metrics', query: [] },
  { method: 'get', path: '/api/queues/:queueName/default-job-options', query: [] },
  { method: 'get', path: '/api/queues/:queueName/workers', query: [] },
  { method: 'get', path: '/api/queues/:queueName/rate-limit', query: [] },
  { method: 'get', path: '/api/queues/:queueName/:jobId/logs', query: [] },
  { method: 'get', path: '/api/queues/:queueName/:jobId/flow', query: ['root', 'depth', 'maxChildren'] },
  { method: 'get', path: '/api/queues/:queueName/:jobId', query: [] },
  { method: 'put', path: '/api/queues/:queueName/retry/:queueStatus', query: [] },
  { method: 'put', path: '/api/queues/:queueName/promote', query: [] },
  { method: 'put', path: '/api/queues/:queueName/clean/:queueStatus', query: [] },
  { method: 'put', path: '/api/queues/:queueName/:jobId/retry', query: [] },
  { method: 'put', path: '/api/queues/:queueName/:jobId/promote', query: [] },
  { method: 'put', path: '/api/queues/:queueName/:jobId/clean', query: [] },
] as const

export type BoardRoute = (typeof boardRoutes)[number]
