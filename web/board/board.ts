// One project as columns of cards. Every change of the view renders what has changed; cards are kept by task, so that focus
// and a drag survive changes of others.
import type { Client } from '../../packages/client/src/client.ts'
import type { Status, Task } from '../../src/model/task.ts'
import { createCard, type Card } from './card.ts'
import { columns } from './columns.ts'
import { h, setChildren, toast } from './elements.ts'

export interface BoardOptions {
  client: Client
  projectId: string
  onProject: (id: string) => void
  /** @param notice why, where it was not asked for. */
  onSignedOut: (notice?: string) => void
}

const stateTexts = {
  connecting: 'connecting',
  'catching-up': 'catching up',
  stale: 'as of the last visit',
  live: 'live',
  offline: 'offline: changes are kept',
  stopped: 'ended',
} as const

/** Shows the board in the place of the page. @returns the way to close it. */
export const openBoard = ({ client, projectId, onProject, onSignedOut }: BoardOptions): (() => void) => {
  const user = client.live()
  const view = client.project(projectId).live()
  const here = client.project(projectId).presence()
  const cards = new Map<string, Card>()

  const choice = h('select', { 'aria-label': 'Project', onchange: () => onProject(choice.value) })
  const state = h('span', { class: 'state', role: 'status' })
  const unsent = h('span', { class: 'unsent' })
  const people = h('span', { class: 'people', 'aria-label': 'Here now' })
  const signOut = async (): Promise<void> => {
    try {
      await client.auth.signOut()
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error))
    }
    onSignedOut()
  }
  const lists = columns.map(({ status, title }) => columnOf(status, title))

  function columnOf(status: Status, title: string) {
    const count = h('span', { class: 'count' })
    const list = h('ul', { 'data-status': status })
    const input = h('input', {
      'aria-label': `New task in ${title}`,
      placeholder: 'Add a task',
      maxLength: 255,
      required: true,
    })
    const add = (event: SubmitEvent): void => {
      event.preventDefault()
      const text = input.value.trim()
      if (text === '') return
      input.value = ''
      settle(view.create({ title: text, status }))
    }
    const column = h(
      'section',
      {
        'aria-label': title,
        ondragover: (event: DragEvent) => event.preventDefault(),
        ondrop: (event: DragEvent) => drop(event, status, list),
      },
      h('h2', {}, title, count),
      list,
      h('form', { onsubmit: add }, input),
    )
    return { status, column, list, count }
  }

  /** Before the card under the pointer, or at the end; a change of status and a move are two writes, in this order. */
  const drop = (event: DragEvent, status: Status, list: Element): void => {
    event.preventDefault()
    const id = event.dataTransfer?.getData('text/plain') ?? ''
    const task = view.current.byId.get(id)
    if (!task) return
    const below = [...list.children].find((child) => {
      const { top, height } = child.getBoundingClientRect()
      return event.clientY < top + height / 2 && child.getAttribute('data-id') !== id
    })
    const last = [...list.children].filter((child) => child.getAttribute('data-id') !== id).at(-1)
    if (task.status !== status) settle(view.update(id, { status }))
    const before = below?.getAttribute('data-id')
    const after = last?.getAttribute('data-id')
    if (before) settle(view.move(id, { before }))
    else if (after) settle(view.move(id, { after }))
  }

  /** `onRefused` of the client shows refusals; here they only must not be unhandled. */
  const settle = (write: { settled: Promise<unknown> }): void => void write.settled.catch(() => {})

  const cardOf = (task: Task): Card => {
    let card = cards.get(task.id)
    if (!card) {
      card = createCard(task.id, {
        update: (changes) => settle(view.update(task.id, changes)),
        remove: () => settle(view.delete(task.id)),
      })
      cards.set(task.id, card)
    }
    return card
  }

  /** @param isRemote what changes now was not seen before: it is shown for a moment. */
  const render = (isRemote = false): void => {
    const { project, tasks, members, pending, byId } = view.current
    const names = new Map(members.map(({ userId, name }) => [userId, name]))
    document.title = project ? `${project.name} · Tasktide` : 'Tasktide board'
    for (const { status, list, count } of lists) {
      const own = tasks.filter((task) => task.status === status && task.parentId === null)
      count.textContent = String(own.length)
      setChildren(
        list,
        own.map((task) => {
          const isNew = !cards.has(task.id)
          const card = cardOf(task)
          const hasChanged = card.render(task, {
            isPending: pending.has(task.id),
            assignee: names.get(task.assigneeId ?? '') ?? null,
          })
          if (isRemote && (isNew || hasChanged)) card.flash()
          return card.element
        }),
      )
    }
    for (const id of cards.keys()) if (!byId.has(id)) cards.delete(id)
    state.textContent = stateTexts[view.state]
    state.dataset['state'] = view.state
    unsent.textContent = pending.size > 0 ? `${pending.size} unsent` : ''
    people.replaceChildren(
      ...here.users.map((id) =>
        h('span', { title: names.get(id) ?? 'An administrator' }, initialsOf(names.get(id) ?? '?')),
      ),
    )
    if (view.state === 'stopped') onSignedOut(view.error?.message)
  }

  const renderProjects = (): void => {
    const { projects } = user.current
    const open = projects.filter(({ archivedAt, id }) => archivedAt === null || id === projectId)
    choice.replaceChildren(
      ...open.map(({ id, name }) => h('option', { value: id, selected: id === projectId }, name)),
    )
    choice.value = projectId
  }

  const stops = [
    view.onChange((event) => render(event !== null)), // the event of an own write changes nothing that is shown
    user.onChange(renderProjects),
    here.onChange(() => render()),
  ]
  document.body.replaceChildren(
    h(
      'header',
      {},
      h('span', { class: 'brand' }, 'Tasktide'),
      choice,
      state,
      unsent,
      people,
      h('button', { type: 'button', class: 'quiet', onclick: () => void signOut() }, 'Sign out'),
    ),
    h('main', { class: 'board' }, ...lists.map(({ column }) => column)),
  )
  renderProjects()
  render()
  return () => {
    for (const stop of stops) stop()
    view.close()
    user.close()
    here.close()
  }
}

const initialsOf = (name: string): string =>
  name
    .split(/\s+/)
    .map((word) => word.slice(0, 1))
    .slice(0, 2)
    .join('')
    .toUpperCase()
