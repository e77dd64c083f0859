// The limits of the runtime and the framework: the same answer with nothing behind it.
import { Elysia } from 'elysia'

const body = JSON.stringify({ id: '0190b5a0-0000-7000-8000-000000000000', title: 'Bare', status: 'todo' })
const headers = { 'Content-Type': 'application/json; charset=utf-8' }

const app = new Elysia({ handler: { standardHostname: false } }).get(
  '/elysia',
  () => new Response(body, { headers }),
)
const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  routes: { '/bun': () => new Response(body, { headers }) },
  fetch: (request) => app.handle(request),
})
process.send!({ url: server.url.origin })
process.on('disconnect', () => process.exit())
