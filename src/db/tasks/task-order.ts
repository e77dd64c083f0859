// The order of a project's tasks by rank, then id. While the project is locked, only new tasks at its end change it.
import type { Tx } from '../client.ts'

export interface RankedTask {
  id: string
  rank: string
}

/** The task's position, or null where the project has no such task. */
export const selectPlace = async (tx: Tx, projectId: string, id: string): Promise<RankedTask | null> => {
  const [row] = await tx<RankedTask[]>`
    select id, rank from tasks where id = ${id} and project_id = ${projectId}`
  return row ?? null
}

/** The task before a position, or the last task for null; the task `without` is ignored. */
export const selectBefore = async (
  tx: Tx,
  projectId: string,
  place: RankedTask | null,
  without: string,
): Promise<RankedTask | null> => {
  const [row] = await tx<RankedTask[]>`
    select id, rank from tasks
    where project_id = ${projectId} and id <> ${without}
      ${place === null ? tx`` : tx`and (rank, id) < (${place.rank}, ${place.id}::uuid)`}
    order by rank desc, id desc
    limit 1`
  return row ?? null
}

/** The tasks after a position, or from the first for null; the task `without` is ignored. */
export const selectAfter = (
  tx: Tx,
  projectId: string,
  place: RankedTask | null,
  without: string,
  limit: number,
): Promise<RankedTask[]> => tx<RankedTask[]>`
  select id, rank from tasks
  where project_id = ${projectId} and id <> ${without}
    ${place === null ? tx`` : tx`and (rank, id) > (${place.rank}, ${place.id}::uuid)`}
  order by rank, id
  limit ${limit}`
