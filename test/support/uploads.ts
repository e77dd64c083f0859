// Files of each allowed type, small and well-formed, and requests that upload them.
import type { Attachment } from '../../src/model/attachment.ts'
import type { Answer } from './world.ts'

const bytesOf = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(text, 'latin1'))
const fromBase64 = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(text, 'base64'))

/** A ZIP whose entries are stored, not compressed. */
export const zipOf = (entries: Record<string, string>): Uint8Array<ArrayBuffer> => {
  const locals: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const [name, content] of Object.entries(entries)) {
    const [nameBytes, data] = [Buffer.from(name), Buffer.from(content)]
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0)
    common.writeUInt32LE(Bun.hash.crc32(data), 10)
    common.writeUInt32LE(data.length, 14)
    common.writeUInt32LE(data.length, 18)
    common.writeUInt16LE(nameBytes.length, 22)
    const place = Buffer.alloc(14)
    place.writeUInt32LE(offset, 10)
    locals.push(Buffer.from('PK\x03\x04', 'latin1'), common, nameBytes, data)
    directory.push(Buffer.from('PK\x01\x02\x14\0', 'latin1'), common, place, nameBytes)
    offset += 4 + common.length + nameBytes.length + data.length
  }
  const central = Buffer.concat(directory)
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(Object.keys(entries).length, 8)
  end.writeUInt16LE(Object.keys(entries).length, 10)
  end.writeUInt32LE(central.length, 12)
  end.writeUInt32LE(offset, 16)
  return Uint8Array.from(Buffer.concat([...locals, central, end]))
}

/** A compound file with these streams in its directory. */
export const compoundFile = (...names: string[]): Uint8Array<ArrayBuffer> => {
  const file = Buffer.alloc(512 * 3)
  file.write('d0cf11e0a1b11ae1', 'hex')
  file.writeUInt16LE(9, 30)
  file.writeUInt32LE(1, 48) // the directory
  file.writeUInt32LE(0, 76) // the allocation table
  file.fill(0xff, 512, 1024)
  file.writeUInt32LE(0xfffffffd, 512)
  file.writeUInt32LE(0xfffffffe, 516)
  for (const [index, name] of ['Root Entry', ...names].entries()) {
    const at = 1024 + index * 128
    file.write(name, at, 'utf16le')
    file.writeUInt16LE(name.length * 2 + 2, at + 64)
  }
  return Uint8Array.from(file)
}

const openXml = (part: string): Uint8Array<ArrayBuffer> =>
  zipOf({ '[Content_Types].xml': '<Types/>', '_rels/.rels': '<r/>', [part]: '<x/>' })

const openDocument = (kind: string): Uint8Array<ArrayBuffer> =>
  zipOf({ mimetype: `application/vnd.oasis.opendocument.${kind}`, 'content.xml': '<x/>' })

export const png = fromBase64(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==',
)

/** By media type. */
export const samples: Record<string, { name: string; content: Uint8Array<ArrayBuffer> }> = {
  'image/png': { name: 'dot.png', content: png },
  'image/jpeg': {
    name: 'photo.jpg',
    content: fromBase64('/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////2Q=='),
  },
  'image/gif': {
    name: 'dot.gif',
    content: fromBase64('R0lGODlhAQABAIAAAP///wAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw=='),
  },
  'image/webp': {
    name: 'dot.webp',
    content: fromBase64('UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA'),
  },
  'application/pdf': {
    name: 'plan.pdf',
    content: bytesOf('%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n'),
  },
  'text/plain': { name: 'notes.txt', content: bytesOf('Plain notes.\nSecond line.\n') },
  'text/csv': { name: 'table.csv', content: bytesOf('name,count\na,1\nb,2\n') },
  'text/markdown': { name: 'readme.md', content: bytesOf('# Title\n\nSome *text*.\n') },
  'application/zip': { name: 'files.zip', content: zipOf({ 'a.txt': 'a', 'b/c.txt': 'c' }) },
  'application/msword': { name: 'old.doc', content: compoundFile('WordDocument', '1Table') },
  'application/vnd.ms-excel': { name: 'old.xls', content: compoundFile('Workbook') },
  'application/vnd.ms-powerpoint': { name: 'old.ppt', content: compoundFile('PowerPoint Document') },
  'application/vnd.openxmlformats-officedocument.wordprocessingml.document': {
    name: 'new.docx',
    content: openXml('word/document.xml'),
  },
  'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet': {
    name: 'new.xlsx',
    content: openXml('xl/workbook.xml'),
  },
  'application/vnd.openxmlformats-officedocument.presentationml.presentation': {
    name: 'new.pptx',
    content: openXml('ppt/presentation.xml'),
  },
  'application/vnd.oasis.opendocument.text': { name: 'free.odt', content: openDocument('text') },
  'application/vnd.oasis.opendocument.spreadsheet': {
    name: 'free.ods',
    content: openDocument('spreadsheet'),
  },
  'application/vnd.oasis.opendocument.presentation': {
    name: 'free.odp',
    content: openDocument('presentation'),
  },
}

export interface UploadRequest {
  url: string
  token: string
  taskId: string
  name?: string
  content?: Uint8Array<ArrayBuffer> | string
  headers?: Record<string, string>
}

/** What a browser sends for one file in a form. */
export const formOf = (name: string, content: Uint8Array<ArrayBuffer> | string, type = ''): FormData => {
  const form = new FormData()
  form.append('file', new File([content], name, { type }))
  return form
}

export const sendForm = async <T = Attachment>(
  { url, token, taskId, headers = {} }: UploadRequest,
  body: RequestInit['body'],
): Promise<Answer<T>> => {
  const response = await fetch(`${url}/api/tasks/${taskId}/attachments`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, ...headers },
    body: body ?? null,
  })
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the test names the shape
  return { status: response.status, headers: response.headers, body: (await response.json()) as T }
}

export const upload = <T = Attachment>(request: UploadRequest): Promise<Answer<T>> =>
  sendForm<T>(request, formOf(request.name ?? 'notes.txt', request.content ?? 'Some notes.\n'))
