// The card of a task: its title, which is edited in place, and what else it says. Works by keyboard: the title is a button
// that Alt and an arrow key move up or down in its column, and the status a list.
import type { Task, TaskPatch } from '../../src/model/task.ts'
import { columns } from './columns.ts'
import { startDrag } from './drag.ts'
import { h, isArranging, notify } from './elements.ts'

export interface CardActions {
  update: (changes: TaskPatch) => void
  remove: (task: Task) => void
  /** One place within the column. */
  shift: (direction: 'up' | 'down') => void
}

export interface CardState {
  /** A write of it has not reached the server. */
  isPending: boolean
  isEditable: boolean
  /** The name; null for none. */
  assignee: string | null
  subtasks: number
}

export interface Card {
  readonly element: HTMLLIElement
  /** @returns whether the task differs from what was shown. */
  render(task: Task, state: CardState): boolean
  /** Shows for a moment that it has changed. */
  flash(): void
}

const flashMs = 1_600
const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)')

export const createCard = (id: string, { update, remove, shift }: CardActions): Card => {
  let shown: Task | null = null
  let isEditing = false
  const title = h('button', {
    type: 'button',
    class: 'title',
    title: 'Edit; Alt and an arrow key move it',
    'aria-keyshortcuts': 'Alt+ArrowUp Alt+ArrowDown',
    onclick: () => edit(),
    onkeydown: (event: KeyboardEvent) => {
      if (!event.altKey || (event.key !== 'ArrowUp' && event.key !== 'ArrowDown')) return
      event.preventDefault()
      shift(event.key === 'ArrowUp' ? 'up' : 'down')
    },
  })
  const facts = h('p', { class: 'facts' })
  const status = h(
    'select',
    { 'aria-label': 'Status', onchange: () => update({ status: columns[status.selectedIndex]!.status }) },
    ...columns.map((column) => h('option', { value: column.status }, column.title)),
  )
  const removal = h(
    'button',
    { type: 'button', class: 'quiet', title: 'Delete', onclick: () => shown && remove(shown) },
    '×',
  )
  const element = h(
    'li',
    { 'data-id': id, ondragstart: (event: DragEvent) => startDrag(event, id) },
    title,
    facts,
    h('div', { class: 'actions' }, status, removal),
  )

  const edit = (): void => {
    if (!shown) return
    const { title: before } = shown
    const input = h('input', { value: before, maxLength: 255, 'aria-label': 'Title' })
    const end = (isKept: boolean): void => {
      if (!isEditing) return
      isEditing = false
      element.draggable = true
      const text = input.value.trim()
      input.replaceWith(title)
      if (!isKept || text === '' || text === before) return
      // The write would be made on top of a title that was not seen.
      if (shown?.title !== before) notify(`“${text}” was not saved: the task was renamed in the meantime.`)
      else update({ title: text })
    }
    input.addEventListener('blur', () => {
      if (!isArranging()) end(true)
    })
    input.addEventListener('keydown', (event) => {
      const { key, isComposing } = event
      if (isComposing || (key !== 'Enter' && key !== 'Escape')) return
      event.preventDefault() // or the same key would press the title
      end(key === 'Enter')
      title.focus()
    })
    isEditing = true
    element.draggable = false // so that the mouse selects text
    title.replaceWith(input)
    input.focus()
    input.select()
  }

  return {
    element,
    render(task, state) {
      const before = shown && contentOf(shown)
      shown = task
      title.textContent = task.title
      status.value = task.status
      removal.ariaLabel = `Delete ${task.title}`
      title.disabled = status.disabled = removal.hidden = !state.isEditable
      if (!isEditing) element.draggable = state.isEditable
      element.classList.toggle('pending', state.isPending)
      element.dataset['priority'] = task.priority
      facts.replaceChildren(...factsOf(task, state))
      return before !== contentOf(task)
    },
    flash() {
      if (!reducedMotion.matches) element.animate([{ backgroundColor: '#ffedb8' }, {}], { duration: flashMs })
    },
  }
}

/** What a card shows of a task. */
const contentOf = ({
  title,
  status,
  priority,
  dueAt,
  assigneeId,
  tags,
  commentCount,
  attachmentCount,
}: Task): string =>
  JSON.stringify([title, status, priority, dueAt, assigneeId, tags, commentCount, attachmentCount])

const factsOf = (task: Task, { assignee, subtasks }: CardState): HTMLElement[] => {
  const { priority, dueAt, tags, commentCount, attachmentCount } = task
  const counted = (count: number, one: string, many: string): HTMLElement[] =>
    count === 0 ? [] : [h('span', {}, `${count} ${count === 1 ? one : many}`)]
  return [
    ...(priority === 'high' || priority === 'urgent' ? [h('span', { class: 'priority' }, priority)] : []),
    ...(dueAt === null ? [] : [dueOf(dueAt, task.completedAt !== null || task.status === 'cancelled')]),
    ...(assignee === null ? [] : [h('span', {}, assignee)]),
    ...tags.map((tag) => h('span', { class: 'tag' }, tag)),
    ...counted(subtasks, 'subtask', 'subtasks'),
    ...counted(commentCount, 'comment', 'comments'),
    ...counted(attachmentCount, 'file', 'files'),
  ]
}

const dateFormat = new Intl.DateTimeFormat(undefined, {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
})

const dueOf = (dueAt: string, isClosed: boolean): HTMLElement => {
  const isLate = !isClosed && Date.parse(dueAt) < Date.now()
  return h('span', { class: isLate ? 'late' : '' }, `due ${dateFormat.format(new Date(dueAt))}`)
}
