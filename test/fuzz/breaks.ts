// Requests with exactly one violation: a request that fits the document, and one part of it broken.
import type { Draws } from './draws.ts'
import type { Api, Json, Parameter, Schema } from './document.ts'
import { finished, type Draft, type FuzzRequest, type QueryPart } from './request.ts'
import { violate } from './violations.ts'

export interface BreakDeps {
  draws: Draws
  api: Api
  /** Whether a body fits its schema, by another validator than the server's. */
  fits: (draft: Draft, json: Json) => boolean
}

/** Every 4xx but a limit and missing credentials. */
export const isRefused = (status: number): boolean =>
  status >= 400 && status < 500 && status !== 401 && status !== 429
const among =
  (...statuses: number[]) =>
  (status: number): boolean =>
    statuses.includes(status)

type Break = (deps: BreakDeps, draft: Draft) => FuzzRequest | null

/** Checked before the handler, whatever the path names. */
const isChecked = among(400, 413, 415, 422)

const body: Break = ({ draws, api, fits }, drafted) => {
  const { schema, json } = drafted
  if (!schema || json === undefined) return null
  for (let tries = 0; tries < 8; tries += 1) {
    const violated = violate(draws, api.resolve, schema, json)
    if (!violated) return null
    const text = JSON.stringify(violated.value)
    // A lone surrogate is text that JSON Schema accepts and that no document may contain (RFC 8259, 8.2).
    if (!/\\ud[89a-f]/i.test(text) && fits(drafted, violated.value)) continue
    return finished(drafted, 'violation', `body ${violated.what}`, isRefused, text)
  }
  return null
}

const missingBody: Break = (_deps, drafted) =>
  drafted.operation.body?.required
    ? finished({ ...drafted, json: undefined, file: null }, 'violation', 'without the body', isRefused)
    : null

const unwantedBody: Break = (_deps, drafted) =>
  drafted.operation.body || drafted.operation.method === 'GET'
    ? null
    : finished(
        { ...drafted, mediaType: 'application/json' },
        'violation',
        'a body that is not documented',
        isChecked,
        '{"unknown":1}',
      )

const wrongType: Break = ({ draws }, drafted) => {
  if (drafted.operation.method === 'GET') return null
  const types = [
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/json; charset=latin1',
    'application/xml',
    'multipart/form-data',
    'json',
    '',
  ]
  const known = Object.keys(drafted.operation.body?.types ?? {})
  const mediaType = draws.pick(types.filter((type) => !known.includes(type)))
  const text = drafted.json === undefined ? 'a=1' : JSON.stringify(drafted.json)
  return finished(
    { ...drafted, mediaType },
    'violation',
    `as ${mediaType || 'no type'}`,
    isRefused,
    new TextEncoder().encode(text),
  )
}

const encodedBody: Break = (_deps, drafted) =>
  drafted.json === undefined
    ? null
    : finished(
        { ...drafted, headers: { ...drafted.headers, 'Content-Encoding': 'gzip' } },
        'violation',
        'compressed',
        among(415),
        Bun.gzipSync(JSON.stringify(drafted.json)),
      )

const unknownParameter: Break = ({ draws }, drafted) => {
  const name = draws.pick([
    'unknown',
    'Limit',
    'limit ',
    '__proto__',
    'constructor',
    'projectID',
    'a[b]',
    '\u0000',
    'q\u0301',
  ])
  return finished(
    { ...drafted, query: [...drafted.query, [name, '1']] },
    'violation',
    'an unknown parameter',
    among(400),
  )
}

const queryOf = ({ operation }: Draft): Parameter[] =>
  operation.parameters.filter((parameter) => parameter.in === 'query')

const repeatedParameter: Break = ({ draws }, drafted) => {
  const single = drafted.query.filter(([name]) =>
    queryOf(drafted).some(
      (parameter) => parameter.name === name && !(parameter.schema.type === 'array' && parameter.explode),
    ),
  )
  if (single.length === 0) return null
  const [name, value] = draws.pick(single)
  return finished(
    { ...drafted, query: [...drafted.query, [name, value]] },
    'violation',
    `${name} twice`,
    among(400, 422),
  )
}

const missingParameter: Break = ({ draws }, drafted) => {
  const required = queryOf(drafted).filter((parameter) => parameter.required)
  if (required.length === 0) return null
  const { name } = draws.pick(required)
  return finished(
    { ...drafted, query: drafted.query.filter(([given]) => given !== name) },
    'violation',
    `without ${name}`,
    among(400, 422),
  )
}

const wrongParameter: Break = ({ draws }, drafted) => {
  const parameters = queryOf(drafted)
  if (parameters.length === 0) return null
  const { name, schema, explode } = draws.pick(parameters)
  const values = schema.type === 'array' && explode ? badItems(schema) : [badValue(draws, schema)]
  if (values.some((value) => value === null)) return null
  const query: QueryPart[] = [
    ...drafted.query.filter(([given]) => given !== name),
    ...values.map((value): QueryPart => [name, value!]),
  ]
  return finished({ ...drafted, query }, 'violation', `${name} of a wrong value`, isRefused)
}

const badItems = ({ maxItems = 0, items = {} }: Schema): (string | null)[] =>
  Array.from({ length: maxItems + 1 }, () => 'x'.repeat(items.minLength ?? 1))

/** A text that no value of the schema is written as. */
const badValue = (draws: Draws, schema: Schema): string | null => {
  if (schema.anyOf) return draws.pick(['nonsense', '', 'ME', 'me ', '0', 'me,none'])
  const [word] = (schema.enum ?? schema.items?.enum ?? []).filter((one) => typeof one === 'string')
  if (schema.enum) return draws.pick(['nonsense', '', `${word} `, `+${word}`])
  switch (schema.type) {
    case 'integer':
      return draws.pick([
        '',
        'x',
        '1.5',
        '0x10',
        '1e2',
        '01',
        ' 1',
        '+1',
        '-1',
        '१',
        '9'.repeat(40),
        'NaN',
        'null',
        String((schema.maximum ?? 0) + 1),
      ])
    case 'boolean':
      return draws.pick(['', '1', '0', 'TRUE', 'yes', 'null', 'true ', '[]'])
    case 'array':
      return draws.pick(['', 'nonsense', `${word},`, ',', `${word}, `])
    case 'string': {
      const { format, maxLength, minLength = 0 } = schema
      if (format === 'uuid')
        return draws.pick(['', 'x', '1', '01933b6e7c4a7d3e8f215a9c0b7d1e42', 'null', '\u0000'])
      if (format === 'date-time')
        return draws.pick([
          '',
          'today',
          '2026-02-30T00:00:00Z',
          '2026-11-20',
          '0',
          '2026-11-20T10:00:00 00:00',
        ])
      return draws.pick([
        ...(minLength > 0 ? [''] : []),
        ...(maxLength ? ['x'.repeat(maxLength + 1)] : []),
        'a\u0000b',
      ])
    }
    default:
      return null
  }
}

const wrongId: Break = ({ draws }, drafted) => {
  const ids = drafted.operation.parameters.filter(
    ({ in: place, schema }) => place === 'path' && schema.format === 'uuid',
  )
  if (ids.length === 0) return null
  const { name } = draws.pick(ids)
  const bad = draws.pick([
    'x',
    '0',
    '-1',
    'null',
    '01933b6e7c4a7d3e8f215a9c0b7d1e42',
    '%00',
    '%F0%9F',
    'a%2Fb',
    '01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e4z',
    '%E2%80%AE',
    "'%20or%201=1--",
    '*',
  ])
  const parts = drafted.operation.template.split('/')
  const path = drafted.path
    .split('/')
    .with(parts.indexOf(`{${name}}`), bad)
    .join('/')
  return finished({ ...drafted, path }, 'violation', `the id ${bad}`, among(404, 405))
}

const wrongKey: Break = ({ draws }, drafted) => {
  if (drafted.headers['Idempotency-Key'] === undefined) return null
  const bad = draws.pick(['', 'a b', 'x'.repeat(256), 'é', '\u00a0x', 'a\tb'])
  // Where a stream is read after the rights are checked, these come first; it is never read before the key.
  return finished(
    { ...drafted, headers: { ...drafted.headers, 'Idempotency-Key': bad } },
    'violation',
    'a wrong Idempotency-Key',
    isRefused,
  )
}

const brokenForm: Break = ({ draws }, drafted) => {
  const { operation, file } = drafted
  if (!file?.has('file')) return null
  const form = new FormData()
  const content = file.get('file')!
  const change = draws.pick(['field', 'two', 'text', 'more', 'empty', 'none', 'html', 'cut', 'boundary'])
  if (change === 'cut' || change === 'boundary') {
    const type = change === 'cut' ? 'multipart/form-data; boundary=x' : 'multipart/form-data'
    const text = '--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nabc'
    return finished(
      { ...drafted, mediaType: type, file: null },
      'violation',
      `form: ${change}`,
      isRefused,
      new TextEncoder().encode(text),
    )
  }
  if (change === 'field') form.append('upload', content)
  if (change === 'two') for (const one of [content, content]) form.append('file', one)
  if (change === 'text') form.append('file', 'text')
  if (change === 'more') for (const name of ['file', 'name']) form.append(name, content)
  if (change === 'empty') form.append('file', new File([], 'a.txt'))
  if (change === 'none') form.append('name', 'x')
  if (change === 'html') form.append('file', new File(['<!doctype html><script>1</script>'], 'a.png'))
  return finished({ ...drafted, file: form, operation }, 'violation', `form: ${change}`, isRefused)
}

const others: Break[] = [
  missingBody,
  unwantedBody,
  wrongType,
  encodedBody,
  unknownParameter,
  repeatedParameter,
  missingParameter,
  wrongParameter,
  wrongParameter,
  wrongId,
  wrongKey,
  brokenForm,
]

/** The draft with one violation. An unknown parameter every operation refuses. */
export const broken = (deps: BreakDeps, drafted: Draft): FuzzRequest => {
  const { draws } = deps
  const first = draws.chance(0.6) ? body(deps, drafted) : null
  if (first) return first
  for (let tries = 0; tries < 6; tries += 1) {
    const request = draws.pick(others)(deps, drafted)
    if (request) return request
  }
  return unknownParameter(deps, drafted)!
}
