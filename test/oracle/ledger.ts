// The writes that servers acknowledged, recorded by the client as the test oracle. Nothing in it is read from the system.

export interface LedgerTask {
  id: string
  projectId: string
  creatorId: string
  /** The last acknowledged representation; null once the deletion was acknowledged. */
  state: any
  /** Epoch milliseconds. */
  dueAt: number | null
  /** When its completion or deletion was acknowledged, epoch milliseconds. */
  closedAt: number | null
}

export interface Expected {
  userId: string
  kind: 'assigned' | 'completed' | 'project_invited'
  /** The task; the project of an invitation. */
  subjectId: string
}

export class Ledger {
  readonly tasks = new Map<string, LedgerTask>()
  /** Notifications due once each, unless their task was deleted before the worker handled it. */
  readonly expected: Expected[] = []
  writes = 0
  /** Idempotency-Keys of acknowledged writes by project. */
  readonly ops = new Map<string, string[]>()

  created(task: any): void {
    this.writes += 1
    this.tasks.set(task.id, {
      id: task.id,
      projectId: task.projectId,
      creatorId: task.creatorId,
      state: task,
      dueAt: task.dueAt && Date.parse(task.dueAt),
      closedAt: null,
    })
  }

  updated(task: any): void {
    this.writes += 1
    this.tasks.get(task.id)!.state = task
  }

  deleted(id: string): void {
    this.writes += 1
    this.tasks.get(id)!.state = null
  }

  /** A write under this key was acknowledged: every follower of the project receives it once. */
  acknowledged(projectId: string, op: string): void {
    this.ops.set(projectId, this.ops.get(projectId) ?? [])
    this.ops.get(projectId)!.push(op)
  }

  closed(id: string): void {
    this.tasks.get(id)!.closedAt ??= Date.now()
  }
}
