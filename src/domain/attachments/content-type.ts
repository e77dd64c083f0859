// The media type of a file by its content: the name only decides between kinds of plain text. Signatures of images and PDF are
// read by file-type; containers (ZIP, Office) by their directory, in containers.ts; text by every byte of it. Invariant:
// what is none of the allowed types has no type here, above all HTML, SVG and programs.
import type { AttachmentType } from '../../model/attachment.ts'
import { extensionOf } from '../../model/file-name.ts'
import { officeTypeOf, zipTypeOf, type RandomAccess } from './containers.ts'

/** Enough for every signature that is looked for. */
const headBytes = 4_100

/** By what file-type returns for a signature at the start of the file. */
const bySignature: Record<string, AttachmentType> = {
  'image/png': 'image/png',
  'image/apng': 'image/png',
  'image/jpeg': 'image/jpeg',
  'image/gif': 'image/gif',
  'image/webp': 'image/webp',
  'application/pdf': 'application/pdf',
}

/**
 * Null where it is no allowed type.
 * @param filename as shown. @param isText whether every byte was text (`scanContent`).
 */
export const contentTypeOf = async (
  file: RandomAccess,
  filename: string,
  isText: boolean,
): Promise<AttachmentType | null> => {
  const head = await file.read(0, headBytes)
  if (startsWith(head, zipStart) || startsWith(head, emptyZip)) return zipTypeOf(file)
  if (startsWith(head, compoundFile)) return officeTypeOf(file)
  const found = await signatureOf(head)
  // Every image has bytes that text has not: what has none only looks like the start of one.
  if (found && (!isText || found === 'application/pdf')) return found
  return isText ? textTypeOf(head, filename) : null
}

const zipStart = [0x50, 0x4b, 0x03, 0x04]
const emptyZip = [0x50, 0x4b, 0x05, 0x06]
const compoundFile = [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]

const startsWith = (bytes: Uint8Array, start: number[]): boolean =>
  start.every((byte, index) => bytes[index] === byte)

const signatureOf = async (head: Uint8Array): Promise<AttachmentType | null> => {
  const { fileTypeFromBuffer } = await import('file-type') // few processes receive files
  try {
    const found = await fileTypeFromBuffer(head)
    return (found && bySignature[found.mime]) ?? null
  } catch {
    return null // a signature without what has to follow it
  }
}

const textTypes: Record<string, AttachmentType> = {
  '.csv': 'text/csv',
  '.md': 'text/markdown',
  '.markdown': 'text/markdown',
}

/** Names under which text may begin with a tag, as Markdown often does. */
const plainNames = new Set(['.txt', '.md', '.markdown', '.csv', '.log'])

const textTypeOf = (head: Uint8Array, filename: string): AttachmentType | null => {
  const extension = extensionOf(filename)
  const start = beginningOf(new TextDecoder('latin1').decode(head))
  if (document.test(start)) return null
  if (/^<[a-z!/?]/i.test(start) && !plainNames.has(extension)) return null
  return textTypes[extension] ?? 'text/plain'
}

/** The text without byte order mark, white space and comments before its first tag. */
const beginningOf = (text: string): string =>
  text.replace(/^\u00ef\u00bb\u00bf/, '').replace(/^(?:\s+|<!--(?:[^-]|-(?!->))*-->)+/, '')

/** What makes browsers take text for a document that runs scripts (WHATWG MIME sniffing, 7.1), and RTF and PostScript. */
const document =
  /^(?:<(?:!doctype|!entity|html|head|script|iframe|frameset|body|style|title|meta|link|base|object|embed|applet|svg|math|\?xml|\?php|xml)(?:[\s>/?:]|$)|<!--|\{\\rtf|%!PS)/i
