// What the client of the files suite counts: a request that is never answered, and a 5xx that shows internals.
import { afterAll, expect, test } from 'bun:test'
import { FilesClient } from './files-client.ts'

const answers: Record<string, () => Response | Promise<Response>> = {
  '/hung': () => new Promise(() => {}),
  '/leaking': () => new Response('Error: at put (/app/src/storage/s3.ts:12:3)', { status: 500 }),
  '/unavailable': () => Response.json({ code: 'unavailable', detail: 'Try again.' }, { status: 503 }),
  '/right': () => Response.json({ id: '1' }),
}
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch: (request) => answers[new URL(request.url).pathname]!(),
})

afterAll(() => server.stop(true))

const countsOf = async (path: string, timeoutMs?: number): Promise<FilesClient['counts']> => {
  const client = new FilesClient(String(server.url).slice(0, -1), 'token', timeoutMs)
  await client.ask('GET', path)
  return client.counts
}

test('a request without an answer is hung, and a 5xx with internals is leaking', async () => {
  expect(await countsOf('/hung', 50)).toEqual({ hung: 1, leaking: 0 })
  expect(await countsOf('/leaking')).toEqual({ hung: 0, leaking: 1 })
})

test('an answer, and a 5xx that is a problem document, are neither', async () => {
  for (const path of ['/right', '/unavailable']) expect(await countsOf(path)).toEqual({ hung: 0, leaking: 0 })
})
