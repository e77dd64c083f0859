// A child process of dropped-connections.test.ts: `driver-load.ts <driver> <url> <application name>` writes
// pairs of rows on the driver given for two seconds while its backends are terminated, then prints the counts of faults.
import type postgres from 'postgres'

const [driver = '', url = '', applicationName = ''] = process.argv.slice(2)
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the same package, perhaps unpatched
const { default: connect } = (await import(driver)) as { default: typeof postgres }

const durationMs = 2_000
const hangMs = 3_000
const outcome = { uncaught: 0, hung: 0, half: 0, missing: 0, acknowledged: 0 }
process.on('uncaughtException', () => (outcome.uncaught += 1))
process.on('unhandledRejection', () => (outcome.uncaught += 1))

const sql = connect(url, { max: 20, connection: { application_name: applicationName }, backoff: () => 0.02 })
const acknowledged: string[] = []
const attempted: string[] = []
const endAt = Date.now() + durationMs

const write = async (): Promise<void> => {
  const id = crypto.randomUUID()
  attempted.push(id)
  try {
    await sql.begin(async (tx) => {
      await tx`insert into pairs (id, half) values (${id}, 1)`
      if (Math.random() < 0.5) await Bun.sleep(Math.random() * 5)
      await Promise.all([tx`select pg_sleep(0.001)`, tx`insert into pairs (id, half) values (${id}, 2)`])
    })
    acknowledged.push(id)
  } catch {
    await Bun.sleep(1) // a lost connection is expected; the pause bounds the rate of retries
  }
}
const loop = async (): Promise<void> => {
  while (Date.now() < endAt) {
    const isHung = await Promise.race([write().then(() => false), Bun.sleep(hangMs).then(() => true)])
    if (isHung) outcome.hung += 1
  }
}
await Promise.all(Array.from({ length: 30 }, loop))

const check = connect(url, { max: 1, connection: { application_name: 'check' } })
const rows = await check<{ id: string; n: number }[]>`
  select id, count(*)::int as n from pairs where id = any(${attempted}::uuid[]) group by id`
const stored = new Map(rows.map(({ id, n }) => [id, n]))
outcome.half = rows.filter(({ n }) => n !== 2).length
outcome.missing = acknowledged.filter((id) => !stored.has(id)).length
outcome.acknowledged = acknowledged.length
process.stdout.write(JSON.stringify(outcome), () => process.exit(0))
