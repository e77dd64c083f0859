// The limit of the runtime: a Bun server that implements just enough of tasktide.v1 for the load to follow it, and sends
// whatever is posted to it to every socket, one by one.
import type { ServerWebSocket } from 'bun'

const sockets = new Set<ServerWebSocket>()

const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  async fetch(request, server) {
    if (request.method === 'POST') {
      const frame = await request.text()
      for (const socket of sockets) socket.send(frame)
      return new Response()
    }
    const headers = { 'Sec-WebSocket-Protocol': 'tasktide.v1' }
    return server.upgrade(request, { headers }) ? undefined : new Response(null, { status: 400 })
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 0,
    sendPings: false,
    open(socket) {
      sockets.add(socket)
      socket.send('{"t":"welcome"}')
    },
    message(socket, message) {
      const frame = JSON.parse(String(message))
      if (frame.t === 'sub') socket.send(`{"t":"synced","scope":"${frame.scope}","cursor":"raw.0.0"}`)
    },
    close: (socket) => void sockets.delete(socket),
  },
})
process.send!({ url: server.url.origin })
process.on('disconnect', () => process.exit())
