// The card of a task: its title, which is edited in place, and what else it says. Works by keyboard: the title is a button,
// and the status a list.
import type { Task, TaskPatch } from '../../src/model/task.ts'
import { columns } from './columns.ts'
import { h } from './elements.ts'

export interface CardActions {
  update: (changes: TaskPatch) => void
  remove: () => void
}

export interface CardState {
  /** A write of it has not reached the server. */
  isPending: boolean
  /** The name; null for none. */
  assignee: string | null
}

export interface Card {
  readonly element: HTMLLIElement
  /** @returns whether the task differs from what was shown. */
  render(task: Task, state: CardState): boolean
  /** Shows for a moment that it has changed. */
  flash(): void
}

export const createCard = (id: string, { update, remove }: CardActions): Card => {
  let shown: Task | null = null
  const title = h('button', { type: 'button', class: 'title', onclick: () => edit() })
  const facts = h('p', { class: 'facts' })
  const status = h(
    'select',
    { 'aria-label': 'Status', onchange: () => update({ status: columns[status.selectedIndex]!.status }) },
    ...columns.map((column) => h('option', { value: column.status }, column.title)),
  )
  const removal = h('button', { type: 'button', class: 'quiet', title: 'Delete', onclick: remove }, '×')
  const element = h(
    'li',
    {
      draggable: true,
      'data-id': id,
      ondragstart: (event: DragEvent) => event.dataTransfer?.setData('text/plain', id),
    },
    title,
    facts,
    h('div', { class: 'actions' }, status, removal),
  )

  const edit = (): void => {
    if (!shown) return
    const { title: before } = shown
    const input = h('input', { value: before, maxLength: 255, 'aria-label': 'Title' })
    let isOver = false
    const end = (isKept: boolean): void => {
      if (isOver) return
      isOver = true
      const text = input.value.trim()
      input.replaceWith(title)
      if (isKept && text !== '' && text !== before) update({ title: text })
    }
    input.addEventListener('blur', () => end(true))
    input.addEventListener('keydown', ({ key }) => {
      if (key === 'Enter') end(true)
      if (key === 'Escape') end(false)
      if (key === 'Enter' || key === 'Escape') title.focus()
    })
    title.replaceWith(input)
    input.select()
  }

  return {
    element,
    render(task, { isPending, assignee }) {
      const before = shown && contentOf(shown)
      shown = task
      title.textContent = task.title
      status.value = task.status
      removal.ariaLabel = `Delete ${task.title}`
      element.classList.toggle('pending', isPending)
      element.dataset['priority'] = task.priority
      const { dueAt, tags, commentCount, attachmentCount } = task
      facts.replaceChildren(
        ...[
          task.priority === 'high' || task.priority === 'urgent'
            ? h('span', { class: 'priority' }, task.priority)
            : null,
          dueAt === null ? null : dueTextOf(dueAt, task.completedAt !== null || task.status === 'cancelled'),
          assignee === null ? null : h('span', {}, assignee),
          ...tags.map((tag) => h('span', { class: 'tag' }, tag)),
          commentCount === 0
            ? null
            : h('span', {}, `${commentCount} ${commentCount === 1 ? 'comment' : 'comments'}`),
          attachmentCount === 0
            ? null
            : h('span', {}, `${attachmentCount} ${attachmentCount === 1 ? 'file' : 'files'}`),
        ].filter((fact) => fact !== null),
      )
      return before !== contentOf(task)
    },
    flash() {
      element.classList.remove('changed')
      void element.offsetWidth // so that the animation begins again
      element.classList.add('changed')
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

const dateFormat = new Intl.DateTimeFormat(undefined, {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
})

const dueTextOf = (dueAt: string, isClosed: boolean): HTMLElement => {
  const isLate = !isClosed && Date.parse(dueAt) < Date.now()
  return h('span', { class: isLate ? 'late' : '' }, `due ${dateFormat.format(new Date(dueAt))}`)
}
