// A balancer in front of the servers of a run, as its REST client sees it. It asks each server for /readyz and sends nothing
// to one that is not ready, or that has answered nothing for a while, whose requests in flight it ends. Invariant: one check
// of a server at a time, so that a late answer does not replace a newer one.
import type { Api, Servers } from '../oracle/api.ts'
import { pause } from './fault.ts'

export type Readiness = 'ready' | 'unready' | 'refused' | 'silent'

const everyMs = 100
const answerMs = 1_000
/** Checks without an answer, one after another, until a server counts as away: a stall of the machine is shorter. */
const maxSilent = 3

/** What a server or worker answers to a health check: `silent` where it accepts the connection and answers nothing. */
export const readinessOf = async (url: string): Promise<Readiness> => {
  const signal = AbortSignal.timeout(answerMs)
  try {
    const response = await fetch(`${url}/readyz`, { signal })
    await response.text()
    return response.ok ? 'ready' : 'unready'
  } catch {
    return signal.aborted ? 'silent' : 'refused'
  }
}

/** Balances until it is disposed. */
export const startBalancer = ({ servers }: Servers, api: Api): AsyncDisposable => {
  const stopped = new AbortController()
  const check = async (url: string): Promise<void> => {
    let silent = 0
    while (!stopped.signal.aborted) {
      const readiness = await readinessOf(url)
      silent = readiness === 'silent' ? silent + 1 : 0
      if (readiness === 'ready') api.avoided.delete(url)
      if (readiness === 'unready' || readiness === 'refused') api.avoided.add(url)
      // Not at each check: where all servers are slow, a request has the time of `maxSilent` checks.
      if (silent > 0 && silent % maxSilent === 0) {
        api.avoided.add(url)
        api.endRequests(url)
      }
      await pause(everyMs, stopped.signal)
    }
  }
  const checks = servers.map(({ url }) => check(url))
  return {
    async [Symbol.asyncDispose]() {
      stopped.abort()
      await Promise.all(checks)
      api.avoided.clear()
    },
  }
}
