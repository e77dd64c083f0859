// A file as it arrives: written, hashed and looked at, piece by piece; its type is decided when it is complete.
import { AppError } from '../../errors.ts'
import { shownFileName } from '../../model/file-name.ts'
import type { TemporaryFile } from '../../storage/temporary-file.ts'
import { contentTypeOf, TextScan } from './content-type.ts'
import type { ReceivedFile } from './upload.ts'

/** Calls `write` with the pieces of the file, and resolves with its name at the end. */
type Receive = (write: (bytes: Uint8Array) => void) => Promise<{ filename: string }>

/** 415 `unsupported_type` for content of a type that is not allowed. */
export const receiveUpload = async (file: TemporaryFile, receive: Receive): Promise<ReceivedFile> => {
  const hash = new Bun.CryptoHasher('sha256')
  const scan = new TextScan()
  const { filename: given } = await receive((bytes) => {
    hash.update(bytes)
    scan.add(bytes)
    file.write(bytes)
  })
  const filename = shownFileName(given)
  const contentType = await contentTypeOf(file, filename, scan.isText)
  if (contentType === null)
    throw new AppError(
      'unsupported_type',
      'The content must be PNG, JPEG, GIF, WebP, PDF, plain text, CSV, Markdown, ZIP, or a document of Office without macros',
    )
  return { file, filename, contentType, sha256: hash.digest('hex') }
}
