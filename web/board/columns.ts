// The columns of the board: one for each status of a task.
import type { Status } from '../../src/model/task.ts'

export const columns: readonly { status: Status; title: string }[] = [
  { status: 'todo', title: 'To do' },
  { status: 'in_progress', title: 'In progress' },
  { status: 'done', title: 'Done' },
  { status: 'cancelled', title: 'Cancelled' },
]
