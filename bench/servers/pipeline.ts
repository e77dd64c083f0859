// The request pipeline with nothing behind it: the parts of a server on the database and Redis of the installation, the
// hooks of every request, and one route, which needs a token, counts against the limit, is logged, and answers a constant.
import { Elysia } from 'elysia'
import { openServer } from '../../src/app/compose.ts'
import { readConfig } from '../../src/config.ts'
import { remainingRoutes } from '../../src/http/exact-path.ts'
import { requestPipeline } from '../../src/http/pipeline.ts'
import { ok, respond } from '../../src/http/response.ts'
import { createRouteTable } from '../../src/http/route-table.ts'
import { undocumented } from '../../src/http/route.ts'
import { createLog } from '../../src/log.ts'

const config = readConfig(process.env)
const { deps } = await openServer({ ...config, port: 0 }, createLog('server', config.logLevel))
const app = new Elysia({ normalize: false, handler: { standardHostname: false } })
const routes = createRouteTable(() => app.routes)
const constant = { id: '0190b5a0-0000-7000-8000-000000000000', title: 'Bare', status: 'todo' }
app.use(requestPipeline(deps, routes))
app.get('/api/constant', () => respond(ok(constant)), { detail: undocumented() })
app.config.serve = { routes: remainingRoutes(routes, app.fetch) }
app.listen({ port: 0, hostname: '127.0.0.1', reusePort: false })
process.send!({ url: app.server!.url.origin })
process.on('disconnect', () => process.exit())
