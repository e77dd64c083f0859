// The API of the board, of the package @bull-board/api. Invariant: it reads queues, and lets an administrator
// promote or remove jobs; nothing here processes one, adds one, or changes what a delivery in PostgreSQL decides: a job
// that was removed although its delivery is due is made again, which is how a failed one is retried.
import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import type {
  AppControllerRoute,
  BullBoardQueues,
  ControllerHandlerReturnType,
  IServerAdapter,
  UIConfig,
} from '@bull-board/api/typings/app'
import type { JobQueue } from '../../queues/job-queues.ts'
import type { QueueName } from '../../queues/jobs.ts'
import type { BoardRoute } from './routes.ts'

export interface BoardInput {
  query: Record<string, unknown>
  params: Record<string, unknown>
}

export interface Board {
  readonly uiConfig: UIConfig
  call(route: BoardRoute, input: BoardInput): Promise<{ status: number; body: unknown }>
  isFailedJob(queue: QueueName, id: string): Promise<boolean>
  /** @param id null: all. @returns how many there were. */
  removeFailedJobs(queue: QueueName, id: string | null): Promise<number>
}

/** What the package passes to a web framework. */
class Adapter implements IServerAdapter {
  queues: BullBoardQueues = new Map()
  routes: AppControllerRoute[] = []
  uiConfig: UIConfig = {}
  failed: (error: Error) => ControllerHandlerReturnType = (error) => {
    throw error
  }

  setQueues(queues: BullBoardQueues): this {
    this.queues = queues
    return this
  }

  setApiRoutes(routes: AppControllerRoute[]): this {
    this.routes = routes
    return this
  }

  setUIConfig(config: UIConfig): this {
    this.uiConfig = config
    return this
  }

  setErrorHandler(handler: (error: Error) => ControllerHandlerReturnType): this {
    this.failed = handler
    return this
  }

  // `ui.ts` serves the page and its files.
  setViewsPath = (): this => this
  setStaticPath = (): this => this
  setEntryRoute = (): this => this
}

export const createBoard = (queues: readonly JobQueue[]): Board => {
  const adapter = new Adapter()
  createBullBoard({
    queues: queues.map((queue) => new BullMQAdapter(queue)),
    serverAdapter: adapter,
    options: {
      uiBasePath: '.', // unused; without it the package looks for its page with eval
      uiConfig: {
        boardTitle: 'Tasktide jobs',
        hideRedisDetails: true,
        miscLinks: [{ text: 'Dead letters', url: '/admin/dead-letters' }],
      },
    },
  })
  const queueOf = (name: QueueName): JobQueue => queues.find((one) => one.name === name)!
  const isSame = (given: string | string[], wanted: string): boolean =>
    Array.isArray(given) ? given.includes(wanted) : given === wanted
  return {
    uiConfig: adapter.uiConfig,
    isFailedJob: async (name, id) => (await (await queueOf(name).getJob(id))?.isFailed()) ?? false,
    async removeFailedJobs(name, id) {
      if (id !== null) return queueOf(name).remove(id)
      return (await queueOf(name).clean(0, Number.MAX_SAFE_INTEGER, 'failed')).length
    },
    async call({ method, path }, { query, params }) {
      const route = adapter.routes.find((one) => isSame(one.method, method) && isSame(one.route, path))!
      const { queues: known, uiConfig } = adapter
      const { status = 200, body } = await route.handler({
        queues: known,
        uiConfig,
        query,
        params,
        body: {},
        headers: {},
      })
      return { status, body }
    },
  }
}
