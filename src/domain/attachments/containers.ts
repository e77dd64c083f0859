// What is inside a ZIP or a compound file, by its directory: an archive, an Office document, or something that is not
// allowed (programs, books, documents with macros). Nothing is unpacked. Invariant: what is read is bounded, whatever the
// file says about itself.
import type { AttachmentType } from '../../model/attachment.ts'

/** A file that is read in pieces. */
export interface RandomAccess {
  /** Bytes. */
  readonly size: number
  /** Fewer bytes only at the end. */
  read(start: number, length: number): Promise<Uint8Array<ArrayBuffer>>
}

/** Of the central directory of a ZIP: some 10,000 entries. What comes later does not decide the type. */
const maxDirectoryBytes = 1024 * 1024
const maxCommentBytes = 65_535
const endBytes = 22

const openDocuments: Record<string, AttachmentType> = {
  'application/vnd.oasis.opendocument.text': 'application/vnd.oasis.opendocument.text',
  'application/vnd.oasis.opendocument.spreadsheet': 'application/vnd.oasis.opendocument.spreadsheet',
  'application/vnd.oasis.opendocument.presentation': 'application/vnd.oasis.opendocument.presentation',
}

const openXml = 'application/vnd.openxmlformats-officedocument'
const openXmlParts: [string, AttachmentType][] = [
  ['word/document.xml', `${openXml}.wordprocessingml.document`],
  ['xl/workbook.xml', `${openXml}.spreadsheetml.sheet`],
  ['ppt/presentation.xml', `${openXml}.presentationml.presentation`],
]

/** Entries of what is run, not read. */
const programs = ['META-INF/MANIFEST.MF', 'AndroidManifest.xml', 'classes.dex', 'install.rdf']

/** Null for what is not allowed or has no valid directory. */
export const zipTypeOf = async (file: RandomAccess): Promise<AttachmentType | null> => {
  const directory = await directoryOf(file)
  if (!directory) return null
  const names = namesIn(directory)
  if (!names) return null
  const declared = await declaredType(file)
  if (declared !== null) return openDocuments[declared] ?? null
  if (programs.some((name) => names.has(name))) return null
  if (!names.has('[Content_Types].xml')) return 'application/zip'
  if ([...names].some((name) => name.endsWith('vbaProject.bin'))) return null
  return openXmlParts.find(([part]) => names.has(part))?.[1] ?? null
}

/** The central directory, found by the record at the end; null where there is none. */
const directoryOf = async (file: RandomAccess): Promise<Buffer | null> => {
  const tailStart = Math.max(0, file.size - endBytes - maxCommentBytes)
  const tail = Buffer.from(await file.read(tailStart, file.size - tailStart))
  for (
    let at = tail.length - endBytes;
    at >= 0;
    at = at === 0 ? -1 : tail.lastIndexOf(endSignature, at - 1)
  ) {
    if (!tail.subarray(at, at + 4).equals(endSignature)) continue
    if (at + endBytes + tail.readUInt16LE(at + 20) !== tail.length) continue
    const size = tail.readUInt32LE(at + 12)
    const start = tail.readUInt32LE(at + 16)
    if (start + size > tailStart + at) return null
    return Buffer.from(await file.read(start, Math.min(size, maxDirectoryBytes)))
  }
  return null
}

const endSignature = Buffer.from([0x50, 0x4b, 0x05, 0x06])

/** The names of the entries; null where the directory is malformed. */
const namesIn = (directory: Buffer): Set<string> | null => {
  const names = new Set<string>()
  for (let at = 0; at + 46 <= directory.length;) {
    if (directory.readUInt32LE(at) !== 0x02014b50) return null
    const nameBytes = directory.readUInt16LE(at + 28)
    names.add(directory.toString('utf8', at + 46, at + 46 + nameBytes))
    at += 46 + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32)
  }
  return names
}

/** The type that OpenDocument and EPUB files declare in a first entry named `mimetype`; null without one. */
const declaredType = async (file: RandomAccess): Promise<string | null> => {
  const head = Buffer.from(await file.read(0, 256))
  if (head.length < 30 || head.toString('latin1', 30, 38) !== 'mimetype' || head.readUInt16LE(26) !== 8)
    return null
  const start = 38 + head.readUInt16LE(28)
  return /^[\w.+/-]*/.exec(head.toString('latin1', start, start + head.readUInt32LE(18)))![0]
}

/** By the stream that only these documents have. */
const documentStreams: [string, AttachmentType][] = [
  ['WordDocument', 'application/msword'],
  ['Workbook', 'application/vnd.ms-excel'],
  ['Book', 'application/vnd.ms-excel'],
  ['PowerPoint Document', 'application/vnd.ms-powerpoint'],
]

const macroStorages = ['Macros', '_VBA_PROJECT_CUR', '_VBA_PROJECT', 'VBA']
const maxDirectorySectors = 256
const entryBytes = 128
const headerEntries = 109

/** A document of Word, Excel or PowerPoint before 2007; null for other compound files, such as installers. */
export const officeTypeOf = async (file: RandomAccess): Promise<AttachmentType | null> => {
  const header = Buffer.from(await file.read(0, 512))
  if (header.length < 512) return null
  const shift = header.readUInt16LE(30)
  if (shift !== 9 && shift !== 12) return null
  const sectorBytes = 2 ** shift
  const sector = async (id: number): Promise<Buffer> =>
    Buffer.from(await file.read((id + 1) * sectorBytes, sectorBytes))
  const names = new Set<string>()
  let id = header.readUInt32LE(48)
  for (let count = 0; id < 0xfffffffa; count += 1) {
    if (count >= maxDirectorySectors) return null
    const entries = await sector(id)
    if (entries.length < sectorBytes) return null
    for (let at = 0; at < sectorBytes; at += entryBytes) {
      const nameBytes = Math.min(64, entries.readUInt16LE(at + 64))
      if (nameBytes > 2) names.add(entries.toString('utf16le', at, at + nameBytes - 2))
    }
    // The next sector of the directory is in the allocation table, whose sectors the header lists.
    const perSector = sectorBytes / 4
    const table = Math.floor(id / perSector)
    if (table >= headerEntries) return null
    const allocation = await sector(header.readUInt32LE(76 + table * 4))
    if (allocation.length < sectorBytes) return null
    id = allocation.readUInt32LE((id % perSector) * 4)
  }
  if (macroStorages.some((name) => names.has(name))) return null
  return documentStreams.find(([stream]) => names.has(stream))?.[1] ?? null
}
