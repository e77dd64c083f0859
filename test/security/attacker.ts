// One greedy caller in a process of its own: `attacker.ts <AttackRequest as JSON>` sends as many requests as it can for
// the given time, and prints what became of them as an AttackOutcome.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { AttackRequest } from './attack-scene.ts'
import type { AttackKind, AttackOutcome } from './attacks.ts'

const request: AttackRequest = JSON.parse(process.argv[2]!)
const { url, token, seconds, pairs, taskIds, largeProjectId } = request
const outcome: AttackOutcome = { answers: {}, closedSeconds: 0, left: 0 }
const endsAt = performance.now() + seconds * 1000
const stop = AbortSignal.timeout(seconds * 1000)

/** How long connections may stay open before they count as left. */
const closingMs = 15_000

const count = (what: string | number): void => {
  outcome.answers[what] = (outcome.answers[what] ?? 0) + 1
}

/** The text of a success, else null. */
const ask = async (method: string, path: string, body?: unknown): Promise<string | null> => {
  try {
    const response = await fetch(url + path, {
      method,
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: stop,
    })
    count(response.status)
    const text = await response.text()
    return response.ok ? text : null
  } catch (error) {
    if (!stop.aborted) count(error instanceof Error ? error.name : 'failed')
    return null
  }
}

/** What the limit of requests lets one user have for ever: 6,000 a minute by default. */
const requestsPerSecond = 100

/** Concurrent loops of one request, as fast as they are answered, together at most what the limit permits. */
const loops = async (parallel: number, once: (n: number) => Promise<unknown>): Promise<void> => {
  let nextAt = performance.now()
  const loop = async (_: unknown, n: number): Promise<void> => {
    while (performance.now() < endsAt) {
      const at = Math.max(nextAt, performance.now())
      nextAt = at + 1000 / requestsPerSecond
      await Bun.sleep(at - performance.now())
      await once(n)
    }
  }
  await Promise.all(Array.from({ length: parallel }, loop))
}

/** Bodies of 1 MiB of which 1 MB arrives. */
const sendBodies = async (head: string[]): Promise<void> => {
  const { hostname, port } = new URL(url)
  const part = Buffer.alloc(1_000_000, ' ')
  const lines = [
    ...head,
    'Host: localhost',
    'Content-Type: application/json',
    'Content-Length: 1048576',
    '',
    '',
  ]
  const closed = Array.from({ length: 1_000 }, async () => {
    const socket = connect(Number(port), hostname)
    let isAnswered = false
    let connectedAt = Number.NaN
    socket.on('connect', () => (connectedAt = performance.now()))
    socket.on('data', (data) => {
      if (!isAnswered) count(/^HTTP\/1\.1 (\d+)/.exec(data.toString('latin1'))?.[1] ?? 'other')
      isAnswered = true
    })
    socket.on('error', () => {})
    socket.write(lines.join('\r\n'))
    socket.write(part)
    const { promise, resolve } = Promise.withResolvers<boolean>()
    socket.on('close', () => resolve(true))
    const timer = setTimeout(() => resolve(false), closingMs)
    const isClosed = await promise
    clearTimeout(timer)
    const after = Math.round((performance.now() - connectedAt) / 100) / 10
    if (isClosed) outcome.closedSeconds = Math.max(outcome.closedSeconds, after)
    else outcome.left += 1
    if (!isAnswered) count('none')
    socket.destroy()
  })
  await Promise.all(closed)
}

const statusLine = /HTTP\/1\.1 (\d{3}) /g

/** A connection that is open. */
const opened = async (): Promise<Socket> => {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => count('error'))
  await once(socket, 'connect')
  return socket
}

const sendGet = (socket: Socket, path: string): void => {
  const lines = [`GET ${path} HTTP/1.1`, 'Host: localhost', `Authorization: Bearer ${token}`, '', '']
  socket.write(lines.join('\r\n'))
}

/** Connections that ask for pages of up to 4 MB, fifty different ones, and read no more than the beginning of each. */
const leaveUnread = async (): Promise<void> => {
  const { hostname, port } = new URL(url)
  const sockets = Array.from({ length: 1_000 }, (_, n) => {
    const socket = connect(Number(port), hostname)
    socket.once('data', (data) => {
      count(/^HTTP\/1\.1 (\d+)/.exec(data.toString('latin1'))?.[1] ?? 'other')
      socket.pause()
    })
    socket.on('error', () => {})
    sendGet(socket, `/api/tasks?projectId=${largeProjectId}&limit=${100 - (n % 50)}`)
    return socket
  })
  await Bun.sleep(Math.max(0, endsAt - performance.now()))
  for (const socket of sockets) socket.destroy()
}

/** Polls on connections that are open, 500 of them opened a second: polls are measured, not a flood of connections. */
const poll = async (): Promise<void> => {
  const sockets: Socket[] = []
  while (sockets.length < 1_500) {
    sockets.push(...(await Promise.all(Array.from({ length: 10 }, opened))))
    await Bun.sleep(20)
  }
  for (const socket of sockets) {
    socket.on('data', (data) => {
      for (const [, status] of data.toString('latin1').matchAll(statusLine)) count(status!)
    })
    sendGet(socket, `/api/sync?${pairs.join('&')}&wait=25`)
  }
  await Bun.sleep((seconds * 1000) / 4)
  await ask('PATCH', `/api/tasks/${taskIds[0]!}`, { title: `Changed at ${performance.now()}` })
  await Bun.sleep(Math.max(0, endsAt - performance.now()))
  for (const socket of sockets) socket.destroy()
}

/** Page after page; a limit of its own, so that no two loops share a read. */
const readSnapshot = async (loop: number): Promise<void> => {
  for (let after = ''; performance.now() < endsAt;) {
    const text = await ask('GET', `/api/projects/${largeProjectId}/snapshot?limit=${5_000 - loop}${after}`)
    const next = /"nextAfter":"([^"]+)"/.exec(text ?? '')?.[1]
    if (next === undefined) return
    after = `&after=${next}`
  }
}

const letters = Array.from({ length: 100 }, (_, n) => String.fromCodePoint(97 + (n % 26))).join('+')
/** 9,600 characters in 14 KiB, another text each time. */
const changes = (): { description: string } => ({
  description: `${Math.random()} `.padEnd(4_800, 'a change that is long ').padEnd(9_600, 'é'),
})
const postTask = ['POST /api/tasks HTTP/1.1', `Authorization: Bearer ${token}`]

const run: Record<AttackKind, () => Promise<unknown>> = {
  bodies: () => sendBodies(['POST /api/auth/login HTTP/1.1']),
  'bodies-signed-in': () => sendBodies(postTask),
  polls: poll,
  bulk: () => loops(16, () => ask('PATCH', '/api/tasks/bulk', { ids: taskIds, changes: changes() })),
  repeated: () => loops(16, () => ask('GET', `/api/sync?${Array<string>(64).fill(pairs[1]!).join('&')}`)),
  words: () => loops(16, () => ask('GET', `/api/tasks?search=${letters}`)),
  pages: () => loops(16, () => ask('GET', '/api/tasks?search=bench&page=100&limit=100')),
  snapshots: () => loops(8, readSnapshot),
  unread: leaveUnread,
}

await run[request.kind]()
console.log(JSON.stringify(outcome))
process.exit()
