// From commit to socket, open loop: writes at a fixed rate whether or not answers come, every event's age on
// arrival at every socket. An event carries the time it was appended, taken under the shard's lock just before
// COMMIT; the clock is one machine's.

export interface Latency {
  sockets: number
  events: number
  lost: number
  p50Ms: number
  p99Ms: number
  maxMs: number
}

interface LatencyOptions {
  sockets: number
  seconds: number
  writesPerSecond: number
}

const settleMs = 2_000
/** A server accepts 200 handshakes at once and refuses the rest with a time to retry. */
const openedAtOnce = 100

export const measureLatency = async (
  url: string,
  { token, projectId }: { token: string; projectId: string },
  { sockets: count, seconds, writesPerSecond }: LatencyOptions,
): Promise<Latency> => {
  const ages: number[] = []
  const sockets: WebSocket[] = []
  while (sockets.length < count) {
    const batch = Array.from({ length: Math.min(openedAtOnce, count - sockets.length) }, () =>
      follow(url, token, projectId, (age) => ages.push(age)),
    )
    sockets.push(...(await Promise.all(batch)))
  }
  const writes = seconds * writesPerSecond
  const began = performance.now()
  const pending = new Set<Promise<unknown>>()
  let acknowledged = 0
  for (let index = 0; index < writes; index += 1) {
    const due = began + (index * 1000) / writesPerSecond - performance.now()
    if (due > 0) await Bun.sleep(due)
    const writing = createTask(url, token, projectId, index).then((ok) => (acknowledged += ok ? 1 : 0))
    pending.add(writing)
    void writing.finally(() => pending.delete(writing))
  }
  await Promise.all(pending)
  const deadline = performance.now() + settleMs
  while (ages.length < acknowledged * count && performance.now() < deadline) await Bun.sleep(20)
  for (const socket of sockets) socket.close()
  const sorted = ages.toSorted((a, b) => a - b)
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  return {
    sockets: count,
    events: ages.length,
    lost: acknowledged * count - ages.length,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    maxMs: at(1),
  }
}

const createTask = async (url: string, token: string, projectId: string, index: number): Promise<boolean> => {
  const response = await fetch(`${url}/api/tasks`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ projectId, title: `Latency ${index}` }),
    signal: AbortSignal.timeout(10_000),
  })
  await response.arrayBuffer()
  return response.ok
}

const follow = async (
  url: string,
  token: string,
  projectId: string,
  onAge: (ms: number) => void,
): Promise<WebSocket> => {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/ws`, ['tasktide.v1', `jwt.${token}`])
  const synced = Promise.withResolvers<void>()
  socket.onmessage = (event) => {
    const text = String(event.data)
    if (text.startsWith('{"t":"event"')) {
      const start = text.indexOf('"at":"') + 6
      onAge(Date.now() - Date.parse(text.slice(start, start + 24)))
    } else if (text.startsWith('{"t":"welcome"')) {
      socket.send(JSON.stringify({ t: 'sub', rid: 1, scope: `project:${projectId}`, cursor: null }))
    } else if (text.startsWith('{"t":"synced"')) synced.resolve()
  }
  socket.onclose = (event) =>
    synced.reject(new Error(`the socket closed with ${event.code} before it was synced`))
  await synced.promise
  return socket
}
