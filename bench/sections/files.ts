// Files: what other users feel of parallel uploads and downloads, and what 50 uploads at once add to the memory of a
// server, with files on its disk and in an S3 store.
import { startS3Server } from '../../test/support/s3-server.ts'
import type { Context, Section } from '../context.ts'
import { startGenerator } from '../load/generator.ts'
import type { HttpRequest, LoadJob, LoadResult } from '../load/job.ts'
import { call, makeTasks, registerPeople, type Person } from '../people.ts'
import { peakBytes, resetPeak, settledBytes } from '../processes.ts'
import type { Row } from '../row.ts'
import { median, rounded } from '../statistics.ts'
import { besideFigures } from './beside.ts'
import { directUpload, directUploadRow } from './direct-upload.ts'

const mebibyte = 1024 * 1024
const fileMib = 10
const burst = 50
/** What the files of 50 uploads may add: 32 MiB. */
const grownMb = 33.6

/** What a network of 1 Gbit/s carries in a second; each arrives as fast as loopback carries it. */
const filesOfNetwork = 12

const memory = (where: string): Omit<Row, 'id'> => ({
  title: `${burst} uploads of ${fileMib} MiB at once, files ${where}: what they add to the memory of the server`,
  targets: [{ figure: 'grownMb', atMost: grownMb }],
})

const besideTarget = { targets: [{ figure: 'p99Ratio', atMost: 2 }] } as const

export const fileRows = [
  {
    id: 'uploads-network',
    title: `reads and writes of other users beside ${filesOfNetwork} uploads of ${fileMib} MiB a second (1 Gbit/s) on 4 connections: p99 against without`,
    ...besideTarget,
  },
  {
    id: 'downloads-network',
    title: `the same beside ${filesOfNetwork} downloads of ${fileMib} MiB a second`,
    ...besideTarget,
  },
  {
    id: 'uploads',
    title: `the same beside 4 connections that upload ${fileMib} MiB each as fast as loopback carries`,
    ...besideTarget,
  },
  {
    id: 'downloads',
    title: `the same beside 4 connections that download ${fileMib} MiB each as fast as loopback carries`,
    ...besideTarget,
  },
  { id: 'upload-memory', ...memory('on its disk') },
  { id: 'upload-memory-s3', ...memory('in an S3 store') },
  directUploadRow,
] as const satisfies Row[]

const otherConnections = 8
const otherPerSecond = 200
const fileConnections = 4
/** In less than an upload takes, each connection begins one. */
const onceSeconds = 0.05
/** Uploads of one burst are divided among so many users. */
const burstUsers = 10

const besideRows = ['uploads-network', 'downloads-network', 'uploads', 'downloads'] as const

const run = async (context: Context): Promise<void> => {
  if (context.wants(...besideRows, 'upload-memory')) {
    await using cluster = await context.install()
    const { url, pid } = cluster.servers[0]!
    if (context.wants(...besideRows)) await beside(context, url)
    if (context.wants('upload-memory')) await bursts(context, 'upload-memory', { url, pid })
  }
  if (!context.wants('upload-memory-s3', directUploadRow.id)) return
  await using s3 = await startS3Server()
  await using cluster = await context.install({ environment: s3.environment() })
  const { url, pid } = cluster.servers[0]!
  if (context.wants('upload-memory-s3')) await bursts(context, 'upload-memory-s3', { url, pid })
  if (context.wants(directUploadRow.id)) await directUpload(context, cluster, s3)
}

const headersOf = ({ token }: Person) => ({ authorization: `Bearer ${token}` })

const boundary = 'bench'
const form = [
  `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="notes.txt"\r\n\r\n`,
  'a'.repeat(fileMib * mebibyte),
  `\r\n--${boundary}--\r\n`,
].join('')

const uploadTo = (person: Person, taskId: string): HttpRequest => ({
  method: 'POST',
  path: `/api/tasks/${taskId}/attachments`,
  headers: { ...headersOf(person), 'content-type': `multipart/form-data; boundary=${boundary}` },
  body: form,
})

/** A task of each, for files; to be deleted with them, so that the quota has room again. */
const tasksFor = (url: string, people: readonly Person[]) =>
  Promise.all(
    people.map(async (person) => ({ person, id: (await makeTasks(url, person, person.projectId, 1))[0]! })),
  )
type Pace = Pick<LoadJob, 'perSecond'>
type FileTasks = Awaited<ReturnType<typeof tasksFor>>

const removeTasks = async (url: string, tasks: FileTasks): Promise<void> => {
  for (const { person, id } of tasks) await call(url, 'DELETE', `/api/tasks/${id}`, person.token)
}

const beside = async (context: Context, url: string): Promise<void> => {
  const { plan, report, generator } = context
  const { users } = await registerPeople(url, otherConnections + fileConnections, { tasksEach: 1 })
  const [others, senders] = [users.slice(0, otherConnections), users.slice(otherConnections)]
  const job = { with: 'native', url, seconds: plan.seconds, connections: fileConnections } as const
  const rest: LoadJob = {
    ...job,
    connections: otherConnections,
    perSecond: otherPerSecond,
    expect: 200,
    // A read, then a write, of each.
    requests: [...others.map((person) => readOf(person)), ...others.map((person) => writeOf(person))],
  }
  await using files = startGenerator()
  const upload = async (pace: Pace): Promise<LoadResult> => {
    const tasks = await tasksFor(url, senders)
    const requests = tasks.map(({ person, id }) => uploadTo(person, id))
    const result = await files.run({ ...job, ...pace, requests, expect: 201 })
    await removeTasks(url, tasks)
    return { ...result, bytes: result.answered * fileMib * mebibyte }
  }
  const stored = await tasksFor(url, senders)
  const first = stored.map(({ person, id }) => uploadTo(person, id))
  await files.run({ ...job, seconds: onceSeconds, requests: first, expect: 201 })
  const downloads = await Promise.all(
    stored.map(async ({ person, id }): Promise<HttpRequest> => {
      const { items } = await call(url, 'GET', `/api/tasks/${id}/attachments`, person.token)
      return { method: 'GET', path: `/api/attachments/${items[0].id}`, headers: headersOf(person) }
    }),
  )
  const download = (pace: Pace): Promise<LoadResult> =>
    files.run({ ...job, ...pace, requests: downloads, expect: 200 })
  const network = { perSecond: filesOfNetwork }
  await generator.run({ ...rest, seconds: 1 }) // compiled, with its pools open
  for (const [row, load] of [
    ['uploads-network', () => upload(network)],
    ['downloads-network', () => download(network)],
    ['uploads', () => upload({})],
    ['downloads', () => download({})],
  ] as const) {
    if (!context.wants(row)) continue
    const rounds: Record<'quiet' | 'disturbed' | 'moved', LoadResult>[] = []
    for (let round = 1; round <= plan.rounds; round += 1) {
      report(`${row}: round ${round} of ${plan.rounds}`)
      const quiet = await generator.run(rest)
      const [disturbed, moved] = await Promise.all([generator.run(rest), load()])
      rounds.push({ quiet, disturbed, moved })
    }
    context.add({
      row,
      figures: {
        ...besideFigures(rounds),
        movedMbPerSecond: rounded(median(rounds.map(({ moved }) => moved.bytes / 1e6 / moved.seconds))),
      },
      failed: rounds.flatMap((round) => Object.values(round)).reduce((sum, { failed }) => sum + failed, 0),
      notes: [`open loop, ${otherPerSecond}/s of other users, half of them writes`],
    })
  }
}

const readOf = (person: Person): HttpRequest => ({
  method: 'GET',
  path: `/api/tasks/${person.taskIds[0]!}`,
  headers: headersOf(person),
})

const writeOf = (person: Person): HttpRequest => ({
  ...readOf(person),
  method: 'PATCH',
  headers: { ...headersOf(person), 'content-type': 'application/json' },
  body: '{"title":"Measured beside files"}',
})

const bursts = async (
  context: Context,
  row: 'upload-memory' | 'upload-memory-s3',
  { url, pid }: { url: string; pid: number },
): Promise<void> => {
  const { plan, report } = context
  const { users } = await registerPeople(url, burstUsers, { prefix: row })
  await using files = startGenerator()
  const uploadAtOnce = async (): Promise<{ grown: number; result: LoadResult }> => {
    const tasks = await tasksFor(url, users)
    const requests = tasks.map(({ person, id }) => uploadTo(person, id))
    const before = await settledBytes(pid)
    resetPeak(pid)
    const result = await files.run({
      with: 'native',
      url,
      seconds: onceSeconds,
      connections: burst,
      requests,
      expect: 201,
    })
    const grown = peakBytes(pid) - before
    await removeTasks(url, tasks)
    return { grown, result }
  }
  await uploadAtOnce() // compiled, with its pools open
  const rounds: Awaited<ReturnType<typeof uploadAtOnce>>[] = []
  for (let round = 1; round <= plan.rounds; round += 1) {
    report(`${row}: round ${round} of ${plan.rounds}`)
    rounds.push(await uploadAtOnce())
  }
  context.add({
    row,
    figures: {
      grownMb: rounded(median(rounds.map(({ grown }) => grown / 1e6))),
      movedMbPerSecond: rounded(
        median(rounds.map(({ result }) => (burst * fileMib * mebibyte) / 1e6 / result.seconds)),
      ),
    },
    failed: rounds.reduce((sum, { result }) => sum + result.failed, 0),
    notes: [
      `peak of resident memory above that at rest, uploads of ${burstUsers} users`,
      `answers: ${statusesOf(rounds.map(({ result }) => result))}`,
    ],
  })
}

/** `201: 250` */
const statusesOf = (results: LoadResult[]): string => {
  const sums = new Map<string, number>()
  for (const { statuses } of results)
    for (const [status, count] of Object.entries(statuses)) sums.set(status, (sums.get(status) ?? 0) + count)
  return [...sums].map(([status, count]) => `${status}: ${count}`).join(', ')
}

export const fileSection: Section = { name: 'files', rows: fileRows, isLong: true, run }
