// Clients that refresh their session several times at once, on different servers, and repeat a refresh whose answer they
// lost, while servers are killed: a refresh token has one successor, and no session ends by it.
import { expectStatus } from '../../oracle/api.ts'
import { pause, type Fault } from '../fault.ts'
import type { Arena } from '../arena.ts'

const atOnce = 4
const killEveryMs = 3_000

/** One session: its token is refreshed again and again. */
const refreshAll = async (arena: Arena, number: number, signal: AbortSignal): Promise<number> => {
  const { api } = arena
  let token: string = (await arena.signIn(number)).refreshToken
  let refreshed = 0
  while (!signal.aborted) {
    const refresh = async (): Promise<string> => {
      const answer = await api.call('POST', '/api/auth/refresh', null, { refreshToken: token })
      return expectStatus(answer, 200, 'refresh').refreshToken
    }
    const successors = new Set(await Promise.all(Array.from({ length: atOnce }, refresh)))
    successors.add(await refresh()) // whose answers were lost
    if (successors.size !== 1) arena.violations.push(`a refresh token had ${successors.size} successors`)
    ;[token] = [...successors] as [string]
    refreshed += 1
    await pause(100, signal)
  }
  return refreshed
}

export const refreshDoubled: Fault = {
  name: 'refresh-doubled',
  title: 'sessions refreshed four times at once and again, while servers are killed',
  async disturb(arena, signal) {
    const { servers } = arena.cluster
    const sessions = arena.people.map(({ number }) =>
      refreshAll(arena, number, signal).catch((error: unknown) => {
        arena.violations.push(`a session ended: ${String(error)}`)
        return 0
      }),
    )
    let killed = 0
    for (; !signal.aborted; killed += 1) {
      await pause(killEveryMs, signal)
      await arena.restart(servers[killed % servers.length]!)
    }
    arena.healed()
    const refreshed = (await Promise.all(sessions)).reduce((sum, count) => sum + count, 0)
    arena.notes.push(`${refreshed} refreshes, ${atOnce + 1} times each, ${killed} kills`)
    return refreshed
  },
}
