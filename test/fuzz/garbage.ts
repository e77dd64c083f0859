// Requests that are no requests of the API: broken JSON, other methods and paths, odd headers, bytes instead of HTTP.
import type { Draws } from './draws.ts'
import type { Operation } from './document.ts'
import type { Person } from './people.ts'
import { finished, type Draft, type FuzzRequest } from './request.ts'
import { isRefused } from './breaks.ts'

type Make = (draws: Draws, draft: Draft, methods: readonly string[]) => FuzzRequest | null

const bytes = (...values: number[]): Uint8Array<ArrayBuffer> => Uint8Array.from(values)

const malformed = (draws: Draws, text: string): string | Uint8Array<ArrayBuffer> =>
  draws.pick<() => string | Uint8Array<ArrayBuffer>>([
    () => text.slice(0, draws.between(1, Math.max(1, text.length - 1))),
    () => `${text},`,
    () => `${text}${text}`,
    () => `'a':${text}`,
    () => `\u0000${text}`,
    () => '{"a":NaN}',
    () => '{"a":1,}',
    () => '{"a":01}',
    () => '{"a":+1}',
    () => '// a comment\n{}',
    () => bytes(0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d),
    () => bytes(0xff, 0xfe, 0x7b, 0, 0x7d, 0),
    () => bytes(0x1f, 0x8b, 8, 0, 0, 0, 0, 0),
  ])()

const brokenJson: Make = (draws, drafted) =>
  drafted.json === undefined
    ? null
    : finished(
        drafted,
        'garbage',
        'malformed JSON',
        isRefused,
        malformed(draws, JSON.stringify(drafted.json)),
      )

const noObject: Make = (draws, drafted) =>
  drafted.json === undefined
    ? null
    : finished(
        drafted,
        'garbage',
        'a body that is no object',
        isRefused,
        draws.pick(['null', '[]', '[{}]', '1', '"text"', 'true', '1e400', '-0', '""', ' ', '[[[[[[]]]]]]']),
      )

const nested: Make = (draws, drafted) => {
  if (drafted.json === undefined) return null
  const depth = draws.pick([33, 1_000, 100_000])
  const [open, close] = draws.pick([
    ['[', ']'],
    ['{"a":', '}'],
  ] as const)
  const name = Object.keys(drafted.json as object)[0] ?? 'a'
  const inner = open.repeat(depth) + (open === '[' ? '' : '1') + close.repeat(depth)
  return finished(drafted, 'garbage', `nested ${depth} deep`, isRefused, `{${JSON.stringify(name)}:${inner}}`)
}

const huge: Make = (draws, drafted) =>
  drafted.json === undefined
    ? null
    : finished(
        drafted,
        'garbage',
        'too large',
        isRefused,
        draws.pick([
          () => `{"title":"${'x'.repeat(1_048_576)}"}`,
          () => `{${Array.from({ length: 12_000 }, (_, index) => `"k${index}":1`).join()}}`,
          () => `{"tags":[${'"a",'.repeat(200_000)}"a"]}`,
        ])(),
      )

const numbers: Make = (draws, drafted) => {
  if (drafted.json === undefined) return null
  const text = draws.pick([
    '1e400',
    '-1e400',
    '123456789012345678901234567890',
    '0.1e-400',
    '9007199254740993',
    '1E5',
  ])
  const names = Object.keys(drafted.json as object)
  const name = names.length > 0 ? draws.pick(names) : 'title'
  const rest = Object.entries(drafted.json as object).filter(([key]) => key !== name)
  const members = rest.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
  return finished(
    drafted,
    'garbage',
    `the number ${text}`,
    name === 'ifVersion' || name === 'dueSoonHours' ? null : isRefused,
    `{${[...members, `${JSON.stringify(name)}:${text}`].join()}}`,
  )
}

const otherMethod: Make = (draws, drafted, methods) => {
  const method = draws.pick(
    ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].filter((one) => !methods.includes(one)),
  )
  if (!method) return null
  const request = finished(
    { ...drafted, json: undefined, file: null, query: [] },
    'garbage',
    `${method} instead`,
    (status) => status === 405,
  )
  // Without the key: the log must not have an entry of this request, and it is not one of the operation.
  return { ...request, operation: null, method }
}

const otherPath: Make = (draws, drafted) => {
  const { path, operation } = drafted
  const changed = draws.pick<() => string>([
    () => `${path}/`,
    () => `/${path}`,
    () => path.replace('/api', '/api/.'),
    () => path.replace('/', '/%2e%2e/'),
    // In a tag an encoded slash is a character.
    () => (path.includes('/tags/') ? `${path}/x` : `${path}%2f`),
    () => path.toUpperCase(),
    () => `${path}/unknown`,
    () => `/unknown${path}`,
    () => path.replace(/\/(\w)/, (_all, first: string) => `/%${first.charCodeAt(0).toString(16)}`),
    () => `${path};a=b`,
    () => `${path}%00`,
  ])()
  if (changed === path) return null
  const request = finished(
    { ...drafted, json: undefined, file: null, query: [] },
    'garbage',
    'another path',
    isOtherPath,
  )
  // fetch resolves dot segments before it sends them.
  const bearer = drafted.caller ? `\nAuthorization: Bearer ${drafted.caller.token}` : ''
  return {
    ...request,
    operation: null,
    raw: `${operation.method} ${changed} HTTP/1.1\nHost: localhost${bearer}`,
  }
}

/** 0 where Bun closes the connection; 400 where it answers by itself; 401 where the path is one of the API. */
const isOtherPath = (status: number): boolean => [0, 400, 401, 404, 405].includes(status)

const oddHeaders: Make = (draws, drafted) => {
  const [name, value] = draws.pick([
    ['If-None-Match', '*'],
    ['If-None-Match', '"'.repeat(4_000)],
    ['If-Match', '""'],
    ['If-Match', 'x'.repeat(8_000)],
    ['Range', 'bytes=0-0'],
    ['Range', 'bytes=9999999999-'],
    ['Range', 'lines=1-2'],
    ['X-Request-Id', 'a b'],
    ['X-Request-Id', 'x'.repeat(500)],
    ['Traceparent', '00-zz-zz-00'],
    ['Accept', 'text/html'],
    ['Accept-Encoding', 'br;q=0, zstd, *;q=0'],
    ['Origin', 'null'],
    ['Origin', 'https://evil.example'],
    ['Cookie', '__Host-tide=x; a'],
    ['X-Forwarded-For', "127.0.0.1, ' or 1"],
    ['Content-Language', '\u00ff'],
    ['Upgrade', 'websocket'],
  ] as const)
  return finished(
    { ...drafted, headers: { ...drafted.headers, [name]: value } },
    'garbage',
    `the header ${name}`,
    null,
  )
}

const manyParameters: Make = (draws, drafted) => {
  const count = draws.pick([201, 1_000])
  const query = Array.from({ length: count }, (_, index): [string, string] => [
    draws.chance(0.5) ? 'limit' : `p${index}`,
    '1',
  ])
  return finished({ ...drafted, query }, 'garbage', `${count} parameters`, isRefused)
}

const rawBytes: Make = (draws, drafted) => {
  const { path, caller, operation } = drafted
  const bearer = caller ? `\nAuthorization: Bearer ${caller.token}` : ''
  const [what, raw] = draws.pick([
    ['two hosts', `GET ${path} HTTP/1.1\nHost: a\nHost: b${bearer}`],
    ['no host', `GET ${path} HTTP/1.0${bearer}`],
    ['a short host', `GET /aaa${path} HTTP/1.1\nHost: x${bearer}`],
    ['an odd host', `GET ${path} HTTP/1.1\nHost: a b\\c${bearer}`],
    ['an unknown method', `BREW ${path} HTTP/1.1\nHost: localhost${bearer}`],
    ['TRACE', `TRACE ${path} HTTP/1.1\nHost: localhost${bearer}`],
    ['an absolute target', `GET http://localhost${path} HTTP/1.1\nHost: localhost${bearer}`],
    ['a dot segment', `GET /api/../livez HTTP/1.1\nHost: localhost${bearer}`],
    ['a target with spaces', `GET ${path} x HTTP/1.1\nHost: localhost${bearer}`],
    ['a control in the target', `GET ${path}\u0001 HTTP/1.1\nHost: localhost${bearer}`],
    [
      'a length that is none',
      `${operation.method} ${path} HTTP/1.1\nHost: localhost\nContent-Length: x${bearer}`,
    ],
    ['two lengths', `POST ${path} HTTP/1.1\nHost: localhost\nContent-Length: 2\nContent-Length: 3${bearer}`],
    [
      'a length and chunks',
      `POST ${path} HTTP/1.1\nHost: localhost\nContent-Length: 2\nTransfer-Encoding: chunked${bearer}`,
    ],
    [
      'a bad chunk',
      `POST ${path} HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\nContent-Type: application/json${bearer}\n\nzz`,
    ],
    ['a header of 20 KB', `GET ${path} HTTP/1.1\nHost: localhost\nX-A: ${'a'.repeat(20_000)}${bearer}`],
    ['no HTTP', 'hello'],
  ] as const)
  const request = finished(
    { ...drafted, json: undefined, file: null, query: [] },
    'garbage',
    `bytes: ${what}`,
    null,
  )
  return { ...request, operation: null, raw }
}

const makers: Make[] = [
  brokenJson,
  brokenJson,
  noObject,
  nested,
  huge,
  numbers,
  otherMethod,
  otherPath,
  oddHeaders,
  manyParameters,
  rawBytes,
]

export const garbage = (draws: Draws, drafted: Draft, methods: readonly string[]): FuzzRequest => {
  for (let tries = 0; tries < 8; tries += 1) {
    const request = draws.pick(makers)(draws, drafted, methods)
    if (request) return request
  }
  return oddHeaders(draws, drafted, methods)!
}

const credentials = (draws: Draws, caller: Person | null): string | null =>
  draws.pick([
    null,
    '',
    'Bearer',
    'Bearer ',
    'Bearer x',
    'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.',
    'Basic YTpi',
    'Bearer ttp_unknown',
    `Bearer ${caller?.token.slice(0, -2) ?? 'x.y.z'}xx`,
    `Bearer ${caller?.refreshToken ?? 'x'}`,
    `bearer\u00a0${caller?.token ?? ''}`,
    `Bearer ${'x'.repeat(4_000)}`,
  ])

/** The request without credentials, or with wrong ones: 401 before anything else is said. */
export const anonymous = (draws: Draws, drafted: Draft): FuzzRequest => {
  const header = credentials(draws, drafted.caller)
  const { Authorization: _, ...headers } = finished(drafted, 'anonymous', '', null).headers
  const request = finished(drafted, 'anonymous', header ?? 'no credentials', (status) => status === 401)
  return { ...request, headers: { ...headers, ...(header !== null && { Authorization: header }) } }
}

/** A request that names what was deleted. */
export const afterDeletion = (drafted: Draft, operation: Operation, path: string): FuzzRequest =>
  finished(
    { ...drafted, operation, path, query: [] },
    'deleted',
    'a deleted thing',
    (status) => status === 404 || status === 422,
  )
