// An S3 server in a process of its own, with its objects in a folder, so that a test may kill and start it again. It runs
// only where a test asks for one.
import { mkdtemp, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startGuarded, type Guarded } from '../../dev/guarded.ts'
import { freePort } from '../../src/app/free-port.ts'
import type { Config } from '../../src/config.ts'
import type { S3Settings } from '../../src/storage/s3.ts'
import { readFileSync } from 'node:fs'
import type { S3Kind } from './s3-kinds.ts'

export interface S3Server extends AsyncDisposable {
  readonly port: number
  readonly pid: number
  /** To its one bucket. @param port of a proxy in front of it. */
  settings(port?: number): S3Settings
  /** The same as settings of a world. */
  config(): Pick<Config, 's3Bucket' | 's3Endpoint' | 's3AccessKeyId' | 's3SecretAccessKey'>
  /** The same as variables of a role. */
  environment(port?: number): Record<string, string>
  /** Gives an object another time of storing. Only of the kind `s3rver`, which reads it from its folder. */
  setModifiedAt(key: string, at: Date): Promise<void>
  /** kill -9; objects stay. */
  kill(): Promise<void>
  /** Again on the same port and folder. */
  start(): Promise<void>
}

const bucket = 'tasktide'
const credentials = { accessKeyId: 'tasktide-test', secretAccessKey: 'tasktide-test-secret' }
const startTimeoutMs = 20_000

/** @param kind what of S3 each can do is in `s3-kinds.ts`. */
export const startS3Server = async (kind: S3Kind = 'fauxqs'): Promise<S3Server> => {
  const dir = await mkdtemp(join(tmpdir(), 'tide-s3-'))
  const port = freePort()
  const logFile = join(dir, 'output.log')
  let running: Guarded
  const start = async (): Promise<void> => {
    await Bun.write(logFile, '')
    running = await startGuarded({
      command: [
        process.execPath,
        join(import.meta.dir, 's3-child.ts'),
        kind,
        String(port),
        join(dir, 'objects'),
        bucket,
        credentials.accessKeyId,
        credentials.secretAccessKey,
      ],
      logFile,
      stopSignal: 'SIGTERM',
      env: { ...process.env },
    })
    const failure = await running.failure(startTimeoutMs, () =>
      readFileSync(logFile, 'utf8').includes('ready'),
    )
    if (failure !== undefined) throw new Error(`the S3 server does not start: ${failure}`)
  }
  await start()
  return {
    port,
    get pid() {
      return running.process.pid
    },
    settings: (through = port) => ({
      endpoint: `http://127.0.0.1:${through}`,
      publicEndpoint: null,
      region: 'us-east-1',
      bucket,
      ...credentials,
      pathStyle: true,
    }),
    config: () => ({
      s3Bucket: bucket,
      s3Endpoint: `http://127.0.0.1:${port}`,
      s3AccessKeyId: credentials.accessKeyId,
      s3SecretAccessKey: credentials.secretAccessKey,
    }),
    environment: (through = port) => ({
      S3_ENDPOINT: `http://127.0.0.1:${through}`,
      S3_BUCKET: bucket,
      S3_ACCESS_KEY_ID: credentials.accessKeyId,
      S3_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    }),
    async setModifiedAt(key, at) {
      if (kind !== 's3rver') throw new Error(`an S3 server of the kind ${kind} keeps its times in memory`)
      await utimes(join(dir, 'objects', bucket, `${key}._S3rver_object`), at, at)
    },
    async kill() {
      await running.kill()
    },
    start,
    async [Symbol.asyncDispose]() {
      await running.kill()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
