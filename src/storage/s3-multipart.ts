// Large objects in parts, each with its own tries, so that a lost connection costs one part. Invariant: an upload ends
// as an object or is aborted; what a killed process left is found by `abortUploads`.
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { isAbsent, isNotImplemented, type BucketDeps } from './s3-calls.ts'

/** At least 5 MiB by the rules of S3; 10,000 parts are 80 GiB. */
const partBytes = 8 * 1024 * 1024

/** @throws AppError 503 */
export const putInParts = async (deps: BucketDeps, Key: string, blob: Blob, size: number): Promise<void> => {
  const { client, calls, Bucket } = deps
  const { UploadId } = await calls.run('create upload', (abortSignal) =>
    client.send(new CreateMultipartUploadCommand({ Bucket, Key }), { abortSignal }),
  )
  try {
    const Parts: { PartNumber: number; ETag: string | undefined }[] = []
    for (let start = 0; start < size; start += partBytes) {
      const part = blob.slice(start, Math.min(start + partBytes, size))
      const PartNumber = Parts.length + 1
      const { ETag } = await calls.run(
        'put part',
        (abortSignal) =>
          client.send(
            new UploadPartCommand({
              Bucket,
              Key,
              UploadId,
              PartNumber,
              Body: part.stream(), // as a blob it would be read whole before TLS sends it
              ContentLength: part.size,
            }),
            { abortSignal },
          ),
        { bytes: part.size },
      )
      Parts.push({ PartNumber, ETag })
    }
    await complete(deps, Key, UploadId, Parts, size)
  } catch (error) {
    await abort(deps, Key, UploadId).catch(() => {}) // `abortUploads` finds it later
    throw error
  }
}

const complete = async (
  { client, calls, Bucket }: BucketDeps,
  Key: string,
  UploadId: string | undefined,
  Parts: { PartNumber: number; ETag: string | undefined }[],
  size: number,
): Promise<void> => {
  try {
    await calls.run(
      'complete upload',
      (abortSignal) =>
        client.send(
          new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }),
          { abortSignal },
        ),
      { mayBeAbsent: true },
    )
  } catch (error) {
    if (!isAbsent(error)) throw error
    // An earlier try succeeded and its answer was lost: then the upload is gone and the object is there.
    const found = await calls.run('head', (abortSignal) =>
      client.send(new HeadObjectCommand({ Bucket, Key }), { abortSignal }),
    )
    if (found.ContentLength !== size) throw error
  }
}

const abort = async (
  { client, calls, Bucket }: BucketDeps,
  Key: string,
  UploadId: string | undefined,
): Promise<void> => {
  const mayBeAbsent = true
  await calls.run(
    'abort upload',
    (abortSignal) => client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), { abortSignal }),
    { mayBeAbsent },
  )
}

/** Aborts uploads that began before this time. @returns how many; 0 where the store cannot list them. */
export const abortUploads = async (deps: BucketDeps, before: Date): Promise<number> => {
  const { client, calls, Bucket } = deps
  let aborted = 0
  let after: { KeyMarker?: string; UploadIdMarker?: string } | null = {}
  while (after) {
    const from: { KeyMarker?: string; UploadIdMarker?: string } = after
    const page = await calls
      .run(
        'list uploads',
        (abortSignal) => client.send(new ListMultipartUploadsCommand({ Bucket, ...from }), { abortSignal }),
        { mayBeAbsent: true },
      )
      .catch((error: unknown) => {
        if (isNotImplemented(error)) return null
        throw error
      })
    for (const { Key, UploadId, Initiated } of page?.Uploads ?? []) {
      if (Key === undefined || !Initiated || Initiated >= before) continue
      await abort(deps, Key, UploadId).catch((error: unknown) => {
        if (!isAbsent(error)) throw error
      })
      aborted += 1
    }
    const { NextKeyMarker, NextUploadIdMarker } = page ?? {}
    after =
      page?.IsTruncated === true && NextKeyMarker !== undefined
        ? {
            KeyMarker: NextKeyMarker,
            ...(NextUploadIdMarker !== undefined && { UploadIdMarker: NextUploadIdMarker }),
          }
        : null
  }
  return aborted
}
