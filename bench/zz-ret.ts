// usage: dir row n
import { readFileSync } from 'node:fs'
const dir = process.argv[2]!, what = process.argv[3]!, n = Number(process.argv[4])
const { startCluster } = await import(`${dir}/test/support/cluster.ts`)
const { startSwarm } = await import(`${dir}/test/support/swarm.ts`)
const { registerPeople, makeProject, call } = await import(`${dir}/bench/people.ts`)
const cpu = (pid: number) => { const f = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' '); return (Number(f[11]) + Number(f[12])) * 10 }
await using stack = new AsyncDisposableStack()
const servers = what === 'deploy' ? 2 : 1
const cluster = stack.use(await startCluster({ servers, workers: 0, environment: { SOCKETS_PER_USER: '100000', MAX_CONNECTIONS: '20000' }, report: () => {} }))
const urls = cluster.servers.map((s: any) => s.url)
const { users } = await registerPeople(urls[0], 20)
const seats = users.map((u: any) => ({ token: u.token, scope: `project:${u.projectId}`, cursor: null }))
const swarm = stack.use(await startSwarm(urls, seats))
await swarm.execute({ do: 'open', count: n, atOnce: 100 })
await swarm.execute({ do: 'forget' })
const before = (await swarm.report()).closes
const untilLive = async () => { const t = performance.now(); while (performance.now() - t < 60000) { const r = await swarm.report(); if (r.live >= n) return; await Bun.sleep(50) } console.log('NOT all live') }
let over = false
const u = users[0]
const writing = (async () => { let w = 0; while (!over) { await fetch(`${urls[w % urls.length]}/api/tasks`, { method: 'POST', headers: { authorization: `Bearer ${u.token}`, 'content-type': 'application/json' }, body: JSON.stringify({ projectId: u.projectId, title: `t${w}` }), signal: AbortSignal.timeout(5000) }).then((r) => r.arrayBuffer()).catch(() => {}); w += 1; await Bun.sleep(20) } return w })()
const out: string[] = []
for (const s of cluster.servers) {
  const began = performance.now()
  if (what === 'deploy') { const c0 = cluster.servers.map((x: any) => x === s ? 0 : cpu(x.pid)); await s.stop(); const stopped = performance.now() - began; await untilLive(); const c1 = cluster.servers.map((x: any) => x === s ? 0 : cpu(x.pid)); await s.start(); out.push(`stop ${stopped.toFixed(0)} all ${(performance.now() - began).toFixed(0)} cpu of other ${c1.map((c: number, i: number) => c - c0[i])}`) }
  else { await s.kill(); await s.start(); const up = performance.now() - began; await untilLive(); out.push(`up ${up.toFixed(0)} all ${(performance.now() - began).toFixed(0)} cpu ${cpu(s.pid)}`) }
}
over = true
const w = await writing
const { live, resumed, resyncs, closes, repeated, reordered } = await swarm.report()
console.log(dir, what, n, out.join(' | '), JSON.stringify({ live, p50: Math.round(resumed.p50), p95: Math.round(resumed.p95), p99: Math.round(resumed.p99), max: Math.round(resumed.max), p99AfterWait: Math.round(resumed.p99AfterWait), count: resumed.count, resyncs, turned: (closes['1013'] ?? 0) - (before['1013'] ?? 0), closes, wrong: repeated + reordered, w }))
