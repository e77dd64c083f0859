// The embedded Redis keeps an append-only file over kill -9 and nothing without one.
import { expect, test } from 'bun:test'
import { RedisClient } from 'bun'
import { testRedis } from '../support/environment.ts'

const ask = async <T>(url: string, work: (client: RedisClient) => Promise<T>): Promise<T> => {
  const client = new RedisClient(url, { autoReconnect: false, connectionTimeout: 5_000 })
  try {
    await client.connect()
    return await work(client)
  } finally {
    client.close()
  }
}

for (const [appendOnly, expected] of [
  [true, 'kept'],
  [false, null],
] as const) {
  test(`with appendOnly ${appendOnly} a value is ${expected ?? 'gone'} after kill -9`, async () => {
    await using redis = await testRedis({ appendOnly })
    const { port } = redis
    await ask(redis.url, (client) => client.set('key', 'kept'))
    await redis.kill()
    await redis.start()
    expect(redis.port).toBe(port)
    expect(await ask(redis.url, (client) => client.get('key'))).toBe(expected)
  })
}

test('no connection is accepted without the password', async () => {
  await using redis = await testRedis()
  const url = `redis://127.0.0.1:${redis.port}`
  expect(await ask(url, (client) => client.get('key')).catch(() => 'refused')).toBe('refused')
})
