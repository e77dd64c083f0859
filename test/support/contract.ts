// Compares every answer that a test receives with the OpenAPI document of the server: the status must be
// documented for the operation, the media type too, and the body must fit its schema; and a request that succeeded must
// be one the document allows. What the document leaves out (its own page, paths that do not exist) must still answer
// problems as problem+json.
import { Ajv2020 } from 'ajv/dist/2020'

interface Content {
  schema: object
}

interface Documented {
  $ref?: string
  content?: Record<string, Content>
}

interface Operation {
  requestBody?: { required: boolean; content: Record<string, Content> }
  responses: Record<string, Documented>
}

interface Document {
  paths: Record<string, Record<string, Operation>>
  components: { responses: Record<string, Documented> }
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
const hidden = /^\/api\/(docs(\/.*)?|pages\/.*|openapi\.json|asyncapi\.json|ws)$/

export const createContract = (document: Document): Contract => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true })
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
    // Lengths count the trimmed text in NFC, which JSON Schema cannot express for the sent text.
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
      const { content } = named ? document.components.responses[named.at(-1)!]! : documented
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
