// One greedy caller in a process of its own: `attacker.ts <AttackRequest as JSON>` sends as many requests as it can for
// the given time, and prints the statuses of the answers.
import { connect } from 'node:net'
import type { AttackKind, AttackRequest, AttackResult } from '../sections/attacks.ts'

const request: AttackRequest = JSON.parse(process.argv[2]!)
const { url, token, seconds, pairs, taskIds, largeProjectId } = request
const result: AttackResult = {}
const endsAt = performance.now() + seconds * 1000
const stop = AbortSignal.timeout(seconds * 1000)

const count = (what: string | number): void => {
  result[what] = (result[what] ?? 0) + 1
}

const ask = async (method: string, path: string, body?: unknown): Promise<any> => {
  try {
    const response = await fetch(url + path, {
      method,
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: stop,
    })
    count(response.status)
    const text = await response.text()
    return response.ok ? JSON.parse(text) : null
  } catch (error) {
    if (!stop.aborted) count(error instanceof Error ? error.name : 'failed')
    return null
  }
}

/** Concurrent loops of one request, without a pause. */
const loops = async (parallel: number, once: (n: number) => Promise<unknown>): Promise<void> => {
  const loop = async (_: unknown, n: number): Promise<void> => {
    while (performance.now() < endsAt) await once(n)
  }
  await Promise.all(Array.from({ length: parallel }, loop))
}

const sendBodies = async (): Promise<void> => {
  const { hostname, port } = new URL(url)
  const part = Buffer.alloc(1_000_000, ' ')
  const sockets = Array.from({ length: 1_000 }, () => {
    const socket = connect(Number(port), hostname)
    let head = ''
    socket.on('data', (data) => {
      if (head === '') count(/^HTTP\/1\.1 (\d+)/.exec((head = data.toString('latin1')))?.[1] ?? 'other')
    })
    socket.on('close', () => count('closed'))
    socket.on('error', () => {})
    socket.write(
      'POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n',
    )
    socket.write(part)
    return socket
  })
  await Bun.sleep(endsAt - performance.now())
  for (const socket of sockets) socket.destroy()
}

const poll = async (): Promise<void> => {
  const polls = Array.from({ length: 1_500 }, () => ask('GET', `/api/sync?${pairs.join('&')}&wait=25`))
  await Bun.sleep((seconds * 1000) / 4)
  await ask('PATCH', `/api/tasks/${taskIds[0]!}`, { title: `Changed at ${performance.now()}` })
  await Promise.all(polls)
}

const letters = Array.from({ length: 100 }, (_, n) => String.fromCodePoint(97 + (n % 26))).join('+')
const changes = (): { description: string } => ({
  description: `${Math.random()} `.padEnd(9_000, 'a change that is long ').padEnd(9_600, 'é'),
})

const attacks: Record<AttackKind, () => Promise<unknown>> = {
  bodies: sendBodies,
  polls: poll,
  bulk: () => loops(16, () => ask('PATCH', '/api/tasks/bulk', { ids: taskIds, changes: changes() })),
  repeated: () => loops(16, () => ask('GET', `/api/sync?${Array<string>(64).fill(pairs[1]!).join('&')}`)),
  words: () => loops(16, () => ask('GET', `/api/tasks?search=${letters}`)),
  pages: () => loops(16, () => ask('GET', '/api/tasks?search=bench&page=100&limit=100')),
  snapshots: () => loops(8, (n) => ask('GET', `/api/projects/${largeProjectId}/snapshot?limit=${5_000 - n}`)),
}

await attacks[request.kind]()
console.log(JSON.stringify(result))
process.exit()
