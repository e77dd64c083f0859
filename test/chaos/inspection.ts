// What a server process still holds, asked of itself: it runs as the variant `inspected`.
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from '../support/eventually.ts'
import type { Role } from '../support/cluster.ts'

export interface Inspection {
  at: number
  sockets: number
  /** With a subscriber. */
  scopes: number
  /** With a watch. */
  rooms: number
  /** After a collection. */
  heapBytes: number
  residentBytes: number
}

export const inspectionFile = (pid: number): string => join(tmpdir(), `tide-inspection-${pid}.json`)

/** Collects the process's garbage first. */
export const inspect = async ({ pid }: Role): Promise<Inspection> => {
  const askedAt = Date.now()
  process.kill(pid, 'SIGUSR2')
  return eventually(
    async () => {
      const inspection = JSON.parse(await readFile(inspectionFile(pid), 'utf8'))
      if (inspection.at < askedAt) throw new Error('not yet')
      return inspection
    },
    { timeoutMs: 10_000, everyMs: 50 },
  )
}
