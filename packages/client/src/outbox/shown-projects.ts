// Which projects open views show, and how far each view is. A sent write stays visible as an unconfirmed one until its
// project's view has its effect; without an open view there is nothing to wait for.
import { isReached, type OutboxEntry } from './outbox-entry.ts'

export class ShownProjects {
  readonly #projects = new Map<string, { views: number; cursor: string | null }>()

  viewOpened(projectId: string): void {
    const shown = this.#projects.get(projectId) ?? { views: 0, cursor: null }
    this.#projects.set(projectId, shown)
    shown.views += 1
  }

  /** True if it was the last view of the project. */
  viewClosed(projectId: string): boolean {
    const shown = this.#projects.get(projectId)
    if (!shown) return false
    shown.views -= 1
    if (shown.views > 0) return false
    this.#projects.delete(projectId)
    return true
  }

  confirmed(projectId: string, cursor: string): void {
    const shown = this.#projects.get(projectId)
    if (shown) shown.cursor = cursor
  }

  /**
   * Whether the effect of a write that the server has accepted at `cursor` is visible without it: a write that changed
   * nothing has no echo, without an open view nothing flickers, and a snapshot may have it already.
   */
  isVisible({ write, isEchoed }: OutboxEntry, cursor: string | null): boolean {
    const shown = this.#projects.get(write.projectId)
    if (isEchoed || !shown || cursor === null) return true
    return shown.cursor !== null && isReached(cursor, shown.cursor)
  }
}
