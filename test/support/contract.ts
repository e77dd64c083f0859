// Compares every answer that a test receives with the OpenAPI document of the server: the status must be
// documented for the operation, the media type and the headers too, and the body must fit its schema with its formats;
// and a request that succeeded must be one the document allows. What the document leaves out (its own page, paths that do not exist) must still answer
// problems as problem+json.
import { Ajv2020 } from 'ajv/dist/2020'

interface Content {
  schema: object
}

interface Documented {
  $ref?: string
  content?: Record<string, Content>
  headers?: Record<string, { $ref: string }>
}

interface DocumentedHeader {
  required?: boolean
  schema: { type?: string }
}

interface Operation {
  requestBody?: { required: boolean; content: Record<string, Content> }
  responses: Record<string, Documented>
}

interface Document {
  paths: Record<string, Record<string, Operation>>
  components: { responses: Record<string, Documented>; headers: Record<string, DocumentedHeader> }
}

export interface Seen {
  method: string
  /** With its query. */
  path: string
  status: number
  headers: Headers
  /** The body as it was received. */
  text: string
  /** What was sent; undefined for none. */
  sent: string | undefined
}

export interface Contract {
  /** @throws Error that names the difference from the document. */
  check(seen: Seen): void
}

const documentName = 'document'
/** Headers that an answer has only where the document lists them. */
const listedHeaders = ['ETag', 'Link', 'Location', 'Tide-Cursor', 'Idempotency-Replayed']
const hidden = /^\/api\/(docs(\/.*)?|pages\/.*|openapi\.json|asyncapi\.json|ws)$/

/** The formats of the document, by their standards. */
export const formats = {
  uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i,
  date: (text: string) => isDay(text),
  'date-time': (text: string) =>
    /^\d{4}-\d\d-\d\dt(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i.test(
      text,
    ) && isDay(text.slice(0, 10)),
  'idn-email': /^[^\s@.]{1,64}(?:\.[^\s@.]+)*@(?!-)[^\s@._]{1,63}(?:\.[^\s@._]{1,63})*(?<!-)$/u,
  binary: true,
} as const

const isDay = (text: string): boolean => {
  const [, year, month, day] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text) ?? []
  const date = new Date(Date.UTC(2000, 0, 1))
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  return date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day)
}

export const createContract = (document: Document): Contract => {
  const ajv = new Ajv2020({ strict: false, formats, allErrors: true })
  ajv.addSchema(document, documentName)
  const templates = Object.keys(document.paths).map((template) => ({
    template,
    pattern: patternOf(template),
  }))

  /** The template of a path; words win over parameters. */
  const templateOf = (path: string): string | undefined =>
    document.paths[path] ? path : templates.find(({ pattern }) => pattern.test(path))?.template

  const expectFit = (
    pointer: string[],
    { method, path, status }: Seen,
    text: string,
    isJson = true,
  ): void => {
    const $ref = `${documentName}#/${pointer.map(escape).join('/')}`
    const validate = ajv.getSchema($ref)! // compiled once: `ajv.validate` would compile each time
    const fits = validate(isJson ? JSON.parse(text) : text)
    // Lengths count the stored form of a text, which JSON Schema cannot express for the sent text.
    const isFault = pointer.includes('requestBody')
      ? validate.errors?.some(({ keyword }) => keyword !== 'maxLength')
      : !fits
    if (isFault)
      throw new Error(
        `${method} ${path}: ${status} does not fit the document: ${ajv.errorsText(validate.errors)}\n${text}`,
      )
  }

  const expectSent = (template: string, seen: Seen, { requestBody }: Operation): void => {
    const { method, status, sent } = seen
    const differs = (what: string) => new Error(`${method} ${template} answered ${status} ${what}`)
    if (!requestBody) {
      if (sent !== undefined) throw differs('to a body, which the document does not have')
    } else if (sent === undefined) {
      if (requestBody.required) throw differs('without the body that the document requires')
    } else {
      if (!requestBody.content['application/json']) return // a form
      const place = ['paths', template, method.toLowerCase(), 'requestBody', 'content', 'application/json']
      expectFit([...place, 'schema'], seen, sent)
    }
  }

  const expectHeaders = (documented: Documented, { method, path, status, headers, text }: Seen): void => {
    for (const name of listedHeaders)
      if (headers.has(name) && status < 400 && status !== 304 && !documented.headers?.[name])
        throw new Error(`${method} ${path} answered ${status} with ${name}, which the document does not list`)
    // What may be kept can be revalidated.
    const isKept = status < 300 && text !== '' && headers.get('cache-control')?.includes('no-cache') === true
    if (isKept && !headers.has('etag')) throw new Error(`${method} ${path} answered ${status} without ETag`)
    for (const [name, { $ref }] of Object.entries(documented.headers ?? {})) {
      const component = $ref.split('/').at(-1)!
      const { required = false, schema } = document.components.headers[component]!
      const value = headers.get(name)
      if (value === null && required) throw new Error(`${method} ${path} answered ${status} without ${name}`)
      if (value === null) continue
      const validate = ajv.getSchema(`${documentName}#/components/headers/${component}/schema`)!
      if (!validate(schema.type === 'integer' ? Number(value) : value))
        throw new Error(
          `${method} ${path}: ${status} has ${name}: ${value}, ${ajv.errorsText(validate.errors)}`,
        )
    }
  }

  return {
    check(seen) {
      const { method, path, status, headers, text } = seen
      const bare = path.split(/[?#]/)[0]!
      if (hidden.test(bare) || method === 'OPTIONS') return
      const template = templateOf(bare)
      const item = template === undefined ? undefined : document.paths[template]
      const operation = item?.[method === 'HEAD' ? 'get' : method.toLowerCase()]
      const mediaType = (headers.get('content-type') ?? '').split(';')[0]!
      if (!operation) {
        if (status < 400) throw new Error(`${method} ${path} answered ${status} and is not in the document`)
        if (text !== '') expectFit(['components', 'schemas', 'Problem'], seen, text)
        if (status === 405 && item) expectAllowed(seen, Object.keys(item))
        return
      }
      const documented = operation.responses[status]
      if (!documented)
        throw new Error(
          `${method} ${template} answered ${status}, which the document does not list:\n${text}`,
        )
      if (status < 300) expectSent(template!, seen, operation)
      const named = documented.$ref?.slice(2).split('/')
      const place = named ?? ['paths', template!, method.toLowerCase(), 'responses', String(status)]
      const response = named ? document.components.responses[named.at(-1)!]! : documented
      const { content } = response
      expectHeaders(response, seen)
      if (method === 'HEAD' || (!content && text === '')) return
      if (!content?.[mediaType])
        throw new Error(
          `${method} ${template} answered ${status} as ${mediaType || 'nothing'}, documented: ${Object.keys(content ?? {}).join(', ') || 'no body'}`,
        )
      expectFit([...place, 'content', mediaType, 'schema'], seen, text, mediaType.endsWith('json'))
    },
  }
}

const expectAllowed = ({ method, path, headers }: Seen, methods: string[]): void => {
  const documented = methods.map((name) => name.toUpperCase())
  const allowed = (headers.get('allow') ?? '').split(', ').filter((name) => name !== 'HEAD')
  if (allowed.toSorted().join() !== documented.toSorted().join())
    throw new Error(`${method} ${path}: Allow is ${allowed.join()}, documented: ${documented.join()}`)
}

const escape = (key: string): string => encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'))

const patternOf = (template: string): RegExp =>
  new RegExp(`^${template.replaceAll('.', String.raw`\.`).replaceAll(/\{\w+\}/g, '[^/]+')}$`)
