// Objects in any S3-compatible store. The bytes come from a file of this machine, so that a try can be repeated and no
// body is held in memory. Checksums are sent only where S3 requires them: the SDK's defaults break some stores.
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { FetchHttpHandler } from '@smithy/fetch-http-handler'
import type { Log } from '../log.ts'
import {
  defaultLimits,
  isAbsent,
  S3Calls,
  withStallDeadline,
  type BucketDeps,
  type CallLimits,
} from './s3-calls.ts'
import { abortUploads, putInParts } from './s3-multipart.ts'
import { temporaryTrouble } from '../start/trouble.ts'
import { degraded, requireKey, type ObjectInfo, type Storage } from './storage.ts'
import { removeTemporaryFiles, TemporaryFile } from './temporary-file.ts'

export interface S3Settings {
  /** Of a store other than AWS. */
  endpoint: string | null
  /** Where clients reach the same store; `endpoint` by default. */
  publicEndpoint: string | null
  region: string
  bucket: string
  accessKeyId: string
  secretAccessKey: string
  /** The bucket in the path instead of in the host name. */
  pathStyle: boolean
}

/** A larger object is stored in parts. */
const maxSinglePutBytes = 10 * 1024 * 1024
const healthTimeoutMs = 1_000

/** @param temporary folder for bytes on their way to the store. */
export const s3Storage = (
  settings: S3Settings,
  temporary: string,
  log: Pick<Log, 'warn'>,
  limits: Partial<CallLimits> = {},
): Storage => {
  const { bucket: Bucket } = settings
  const client = openClient(settings, settings.endpoint)
  const publicClient = openClient(settings, settings.publicEndpoint ?? settings.endpoint)
  const calls = new S3Calls(
    log,
    { ...defaultLimits, ...limits },
    settings.endpoint === null ? 'S3_REGION' : 'S3_ENDPOINT',
  )

  /** @param body called once a try. */
  const putWhole = (
    Key: string,
    body: () => ReadableStream | Uint8Array<ArrayBuffer>,
    size: number,
  ): Promise<unknown> =>
    calls.run(
      'put',
      (abortSignal) =>
        client.send(new PutObjectCommand({ Bucket, Key, Body: body(), ContentLength: size }), {
          abortSignal,
        }),
      { bytes: size },
    )

  const storage: Omit<Storage, keyof AsyncDisposable> = {
    kind: 's3',
    temporaryFile: () => TemporaryFile.create(temporary),
    put: async (key, source) => {
      const Key = requireKey(key)
      const blob = source instanceof TemporaryFile ? source.blob() : new Blob([source])
      const size = source instanceof TemporaryFile ? source.size : source.byteLength
      if (size <= maxSinglePutBytes)
        await putWhole(Key, () => (source instanceof TemporaryFile ? blob.stream() : source), size)
      else await putInParts({ client, calls, Bucket }, Key, blob, size)
    },
    copy: async (from, to, size) => {
      const CopySource = `${Bucket}/${requireKey(from)}`
      const Key = requireKey(to)
      return absentAs(false, async () => {
        // In one call up to 5 GiB; `maxDirectBytes` is 1 GiB.
        await calls.run(
          'copy',
          (abortSignal) => client.send(new CopyObjectCommand({ Bucket, Key, CopySource }), { abortSignal }),
          { bytes: size, mayBeAbsent: true },
        )
        return true
      })
    },
    get: async (key, range) => {
      const Key = requireKey(key)
      const Range = range && `bytes=${range.start}-${range.end - 1}`
      const opened = { abort: (): void => {} }
      try {
        const answer = await calls.run(
          'get',
          (signal) => {
            // The body is read after the call has succeeded, under the same connection.
            const body = new AbortController()
            signal.addEventListener('abort', () => body.abort(), { once: true })
            opened.abort = () => body.abort()
            return client.send(new GetObjectCommand({ Bucket, Key, Range }), { abortSignal: body.signal })
          },
          { mayBeAbsent: true },
        )
        const stream = answer.Body!.transformToWebStream()
        return {
          size: answer.ContentLength ?? 0,
          body: withStallDeadline(stream, calls.limits, () => opened.abort()),
        }
      } catch (error) {
        if (isAbsent(error)) return null
        throw error
      }
    },
    head: async (key) => {
      const Key = requireKey(key)
      return absentAs<ObjectInfo | null>(null, async () => {
        const found = await calls.run(
          'head',
          (abortSignal) => client.send(new HeadObjectCommand({ Bucket, Key }), { abortSignal }),
          { mayBeAbsent: true },
        )
        return { key, size: found.ContentLength ?? 0, modifiedAt: found.LastModified ?? new Date(0) }
      })
    },
    delete: async (key) => {
      const Key = requireKey(key)
      await absentAs<unknown>(null, () =>
        calls.run(
          'delete',
          (abortSignal) => client.send(new DeleteObjectCommand({ Bucket, Key }), { abortSignal }),
          { mayBeAbsent: true },
        ),
      )
    },
    list: (prefix) => listed({ client, calls, Bucket }, prefix),
    presignPut: async (key, { size, contentType, expiresInSeconds }) => {
      const command = new PutObjectCommand({
        Bucket,
        Key: requireKey(key),
        ContentLength: size,
        ContentType: contentType,
      })
      const url = await getSignedUrl(publicClient, command, {
        expiresIn: expiresInSeconds,
        // Signed, so that the store refuses another length or type than the quota was reserved for.
        signableHeaders: new Set(['host', 'content-length', 'content-type']),
      })
      return { url, method: 'PUT', headers: { 'Content-Type': contentType } }
    },
    removeInterrupted: async (before) => {
      const files = await removeTemporaryFiles(temporary, before)
      return files + (await abortUploads({ client, calls, Bucket }, before))
    },
    health: async () => {
      try {
        const once = { tries: 1, timeoutMs: healthTimeoutMs }
        await calls.run(
          'health',
          (abortSignal) => client.send(new HeadBucketCommand({ Bucket }), { abortSignal }),
          once,
        )
        return { status: 'up' }
      } catch (error) {
        return degraded(calls.troubleOf(error) ?? temporaryTrouble('the object store does not answer'))
      }
    },
    diskSpace: () => Promise.resolve(null),
  }
  return {
    ...storage,
    [Symbol.asyncDispose]: async () => {
      calls[Symbol.dispose]()
      client.destroy()
      publicClient.destroy()
    },
  }
}

const absentAs = async <T>(value: T, work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (error) {
    if (isAbsent(error)) return value
    throw error
  }
}

/**
 * A connection for each call. Bun's pool cannot be emptied: after a network fault it would hand out its half-open
 * connections one after another, each for the deadline of a call. The header is Bun's only way not to keep one; the
 * handler's own option has no effect there.
 */
class SingleUseConnections extends FetchHttpHandler {
  override handle(...[request, options]: Parameters<FetchHttpHandler['handle']>) {
    request.headers['connection'] = 'close'
    return super.handle(request, options)
  }
}

const openClient = (settings: S3Settings, endpoint: string | null): S3Client =>
  new S3Client({
    ...(endpoint !== null && { endpoint }),
    region: settings.region,
    forcePathStyle: settings.pathStyle,
    credentials: { accessKeyId: settings.accessKeyId, secretAccessKey: settings.secretAccessKey },
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: new SingleUseConnections(),
    maxAttempts: 1, // `S3Calls` repeats calls, each try with a deadline
    logger: { debug() {}, info() {}, warn() {}, error() {} }, // its texts name URLs
  })

async function* listed({ client, calls, Bucket }: BucketDeps, Prefix: string): AsyncGenerator<ObjectInfo> {
  let ContinuationToken: string | undefined
  do {
    const token = ContinuationToken
    const page = await calls.run('list', (abortSignal) =>
      client.send(
        new ListObjectsV2Command({
          Bucket,
          Prefix,
          ContinuationToken: token,
          MaxKeys: calls.limits.pageSize,
        }),
        { abortSignal },
      ),
    )
    for (const { Key, Size = 0, LastModified = new Date(0) } of page.Contents ?? [])
      if (Key !== undefined) yield { key: Key, size: Size, modifiedAt: LastModified }
    ContinuationToken = page.IsTruncated === true ? page.NextContinuationToken : undefined
  } while (ContinuationToken !== undefined)
}
