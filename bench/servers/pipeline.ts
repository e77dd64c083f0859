// The request pipeline with nothing behind it: the parts of a server on the database and Redis of the installation, the
// steps of every request, and one route, which needs a token, counts against the limit, is logged, and answers a constant.
import { openServer } from '../../src/app/compose.ts'
import { readConfig } from '../../src/config.ts'
import { mountRoutes } from '../../src/http/mount.ts'
import { ok } from '../../src/http/response.ts'
import { RouteGroup } from '../../src/http/route-group.ts'
import { undocumented } from '../../src/http/route.ts'
import { createLog } from '../../src/log.ts'

const config = readConfig(process.env)
const { deps } = await openServer({ ...config, port: 0 }, createLog('server', config.logLevel))
const constant = { id: '0190b5a0-0000-7000-8000-000000000000', title: 'Bare', status: 'todo' }
const routes = new RouteGroup().get('/api/constant', () => ok(constant), { detail: undocumented() })
const app = mountRoutes(deps, [routes])
app.listen({ port: 0, hostname: '127.0.0.1', reusePort: false })
process.send!({ url: app.server!.url.origin })
process.on('disconnect', () => process.exit())
