// Reads the resources that a server process holds: the process runs as the variant `inspected` and writes them to a file.
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from '../support/eventually.ts'
import type { Role } from '../support/cluster.ts'

export interface Inspection {
  at: number
  sockets: number
  /** Scopes with a subscriber. */
  scopes: number
  /** Rooms with a watch. */
  rooms: number
  /** After a garbage collection. */
  heapBytes: number
  residentBytes: number
  objects: number
  /** Objects of the heap by type. */
  types: Record<string, number>
  /** Compiled functions: their code is a part of the heap that comes and goes with what is called often. */
  compiledFunctions: number
}

export const inspectionFile = (pid: number): string => join(tmpdir(), `tide-inspection-${pid}.json`)

/** The process collects garbage first. */
export const inspect = async ({ pid }: Role): Promise<Inspection> => {
  const askedAt = Date.now()
  process.kill(pid, 'SIGUSR2')
  return eventually(
    async () => {
      const inspection = JSON.parse(await readFile(inspectionFile(pid), 'utf8'))
      if (inspection.at < askedAt) throw new Error('the process has not written its inspection')
      return inspection
    },
    { timeoutMs: 60_000, everyMs: 50 }, // it may be starved
  )
}
