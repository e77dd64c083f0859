// A file as it arrives. Its bytes are written to a file of this machine at once, and hashed and looked at when it is
// complete, piece by piece, a few files at a time. Invariant: between two events of the loop there is only the work of
// receiving, whatever the number of uploads.
//
// The problem: Bun reads up to 512 KiB of every connection that has something before it runs anything else, and stops
// reading one only when 1 MiB of it is not consumed. Hashed and scanned as they arrived, the bytes of 50 uploads of 10 MiB
// stopped the loop for 50 ms at a time, so that other users waited 250 ms (p99); scanned in slices of 4 ms, they waited
// 45 ms and the server took 170 MB. Writing is the only work that need not wait for anything.
import { AppError } from '../../errors.ts'
import { FairQueue } from '../../limits/fair-queue.ts'
import { shownFileName } from '../../model/file-name.ts'
import type { TemporaryFile } from '../../storage/temporary-file.ts'
import { scanContent } from './content-scan.ts'
import { contentTypeOf } from './content-type.ts'
import type { ReceivedFile } from './upload.ts'

/** Calls `write` with the pieces of the file, and resolves with its name at the end. */
type Receive = (write: (bytes: Uint8Array) => void) => Promise<{ filename: string }>

/** A piece is hashed and scanned in 0.2 ms. */
const pieceBytes = 256 * 1024

/** Bodies in progress are bounded before (`BodyBudget`): no user has as many. */
const maxWaiting = 1_000
/** 50 files of 10 MiB take a second on one core. */
const waitMs = 30_000

export class UploadReceiver {
  readonly #scans = new FairQueue({ atOnce: 2, perCaller: 1, maxWaiting })

  /** 415 `unsupported_type` for content of a type that is not allowed, 503 where too many files wait to be scanned. */
  async receive(userId: string, file: TemporaryFile, receive: Receive): Promise<ReceivedFile> {
    const { filename: given } = await receive((bytes) => file.write(bytes))
    const filename = shownFileName(given)
    const { sha256, contentType } = await this.#scans.run(
      userId,
      async () => {
        const { isText, ...scanned } = await scanContent(file.pieces(pieceBytes))
        return { ...scanned, contentType: await contentTypeOf(file, filename, isText) }
      },
      waitMs,
    )
    if (contentType === null)
      throw new AppError(
        'unsupported_type',
        'The content must be PNG, JPEG, GIF, WebP, PDF, plain text, CSV, Markdown, ZIP, or a document of Office without macros',
      )
    return { file, filename, contentType, sha256 }
  }
}
