// The load process as an object: runs one job at a time, and ends with its dispose.
import { join } from 'node:path'
import type { LoadJob, LoadResult } from './job.ts'

export interface Generator extends AsyncDisposable {
  readonly pid: number
  run(job: LoadJob): Promise<LoadResult>
}

interface Reply {
  id: number
  result?: LoadResult
  error?: string
}

export const startGenerator = (): Generator => {
  const waiting = new Map<number, PromiseWithResolvers<LoadResult>>()
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'generator-process.ts')], {
    stdio: ['ignore', 'inherit', 'inherit'],
    ipc: ({ id, result, error }: Reply) => {
      const job = waiting.get(id)
      waiting.delete(id)
      if (result) job?.resolve(result)
      else job?.reject(new Error(`the load failed: ${error}`))
    },
    onExit: (_, code) => {
      for (const job of waiting.values()) job.reject(new Error(`the load process ended (${code})`))
    },
  })
  let id = 0
  return {
    pid: child.pid,
    run(job) {
      id += 1
      const answered = Promise.withResolvers<LoadResult>()
      waiting.set(id, answered)
      child.send({ id, job })
      return answered.promise
    },
    async [Symbol.asyncDispose]() {
      child.kill()
      await child.exited
    },
  }
}
