// One project as columns of cards. Changes of the view are rendered together, at most fifty times a second; cards are kept
// by task, so that the focus and an edit survive changes of others.
import type { Client } from '../../packages/client/src/client.ts'
import type { Status, Task } from '../../src/model/task.ts'
import { createCard, type Card } from './card.ts'
import { columns } from './columns.ts'
import { taskIn, taskType } from './drag.ts'
import { arrange, h, notify, setChildren, showPage, textOf } from './elements.ts'

export interface BoardOptions {
  client: Client
  projectId: string
  onProject: (id: string) => void
  onSignedOut: () => void
  /** The view has ended. */
  onStopped: (error: unknown) => void
}

const stateTexts = {
  connecting: 'connecting',
  'catching-up': 'catching up',
  stale: 'as of the last visit',
  live: 'live',
  offline: 'offline: changes are kept',
  stopped: 'ended',
} as const

const renderDelayMs = 20

/** Shows the board in the place of the page. @returns the way to close it. */
export const openBoard = (options: BoardOptions): (() => void) => {
  const { client, projectId, onProject, onSignedOut, onStopped } = options
  const user = client.live()
  const view = client.project(projectId).live()
  const here = client.project(projectId).presence()
  const cards = new Map<string, Card>()

  const choice = h('select', { 'aria-label': 'Project', onchange: () => onProject(choice.value) })
  const state = h('span', { class: 'state', role: 'status' })
  const unsent = h('span', { class: 'unsent' })
  const people = h('span', { class: 'people' })
  const signOut = async (): Promise<void> => {
    try {
      await client.auth.signOut()
      onSignedOut()
    } catch (error) {
      // The views have ended in any case.
      notify(
        `Sign out again when there is a connection; until then this browser stays signed in: ${textOf(error)}`,
      )
    }
  }

  /** `onRefused` of the client shows refusals; here they only must not be unhandled. */
  const settle = (write: { settled: Promise<unknown> }): void => void write.settled.catch(() => {})

  const columnOf = (status: Status, title: string) => {
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
    const form = h('form', { onsubmit: add }, input)
    const column = h(
      'section',
      {
        'aria-label': title,
        ondragover: (event: DragEvent) => {
          if (event.dataTransfer?.types.includes(taskType)) event.preventDefault()
        },
        ondrop: (event: DragEvent) => drop(event, status, list),
      },
      h('h2', {}, title, count),
      list,
      form,
    )
    return { status, column, list, count, form }
  }

  /** Before the card under the pointer, or at the end; a change of status and a move are two writes, in this order. */
  const drop = (event: DragEvent, status: Status, list: Element): void => {
    const id = taskIn(event)
    const task = id === null ? undefined : view.current.byId.get(id)
    if (!task) return
    event.preventDefault()
    const others = Array.from(list.children).filter((child) => child.getAttribute('data-id') !== task.id)
    const below = others.find((child) => {
      const { top, height } = child.getBoundingClientRect()
      return event.clientY < top + height / 2
    })
    if (task.status !== status) settle(view.update(task.id, { status }))
    const before = below?.getAttribute('data-id')
    const after = others.at(-1)?.getAttribute('data-id')
    if (before) settle(view.move(task.id, { before }))
    else if (after) settle(view.move(task.id, { after }))
  }

  const shift = (id: string, direction: 'up' | 'down'): void => {
    const card = cards.get(id)?.element
    const neighbour = (
      direction === 'up' ? card?.previousElementSibling : card?.nextElementSibling
    )?.getAttribute('data-id')
    if (neighbour) settle(view.move(id, direction === 'up' ? { before: neighbour } : { after: neighbour }))
  }

  const remove = (task: Task): void => {
    const { tasks } = view.current
    const subtasks = tasks.filter(({ parentId }) => parentId === task.id).length
    if (subtasks === 0 || confirm(`Delete “${task.title}” and its subtasks (${subtasks})?`))
      settle(view.delete(task.id))
  }

  const cardOf = (id: string): Card => {
    let card = cards.get(id)
    if (!card) {
      card = createCard(id, {
        update: (changes) => settle(view.update(id, changes)),
        remove,
        shift: (direction) => shift(id, direction),
      })
      cards.set(id, card)
    }
    return card
  }

  const lists = columns.map(({ status, title }) => columnOf(status, title))

  /** @param isRemote what changes now was not seen before: it is shown for a moment. */
  const render = (isRemote: boolean): void => {
    if (view.state === 'stopped') return onStopped(view.error)
    const { project, tasks, members, pending, byId } = view.current
    const names = new Map(members.map(({ userId, name }) => [userId, name]))
    const isEditable = project !== null && project.role !== 'viewer' && project.archivedAt === null
    const subtasks = Map.groupBy(tasks, ({ parentId }) => parentId)
    document.title = project ? `${project.name} · Tasktide` : 'Tasktide board'
    for (const { status, list, count, form } of lists) {
      const own = tasks.filter((task) => task.status === status && task.parentId === null)
      count.textContent = String(own.length)
      form.hidden = !isEditable
      setChildren(
        list,
        own.map((task) => {
          const isNew = !cards.has(task.id)
          const card = cardOf(task.id)
          const hasChanged = card.render(task, {
            isPending: pending.has(task.id),
            isEditable,
            assignee: names.get(task.assigneeId ?? '') ?? null,
            subtasks: subtasks.get(task.id)?.length ?? 0,
          })
          if (isRemote && (isNew || hasChanged)) card.flash()
          return card.element
        }),
      )
    }
    for (const id of cards.keys()) if (!byId.has(id)) cards.delete(id)
    state.textContent =
      project !== null && !isEditable ? `${stateTexts[view.state]}, read only` : stateTexts[view.state]
    state.dataset['state'] = view.state
    unsent.textContent = pending.size > 0 ? `${pending.size} unsent` : ''
    const present = here.users.map((id) => names.get(id) ?? 'Not a member')
    people.ariaLabel = `Here now: ${present.join(', ')}`
    people.replaceChildren(
      ...present.map((name) => h('span', { title: name, 'aria-hidden': 'true' }, initialsOf(name))),
    )
  }

  const renderProjects = (): void => {
    const { projects } = user.current
    const open = projects.filter(({ archivedAt, id }) => archivedAt === null || id === projectId)
    const texts = open.map(({ id, name }) => `${id} ${name}`).join('\n')
    if (choice.dataset['texts'] === texts) return // an open list would close
    choice.dataset['texts'] = texts
    choice.replaceChildren(...open.map(({ id, name }) => h('option', { value: id }, name)))
    choice.value = projectId
  }

  let timer: ReturnType<typeof setTimeout> | undefined
  let hasRemote = false
  const renderSoon = (isRemote: boolean): void => {
    hasRemote ||= isRemote
    timer ??= setTimeout(() => {
      timer = undefined
      const wasRemote = hasRemote
      hasRemote = false
      arrange(() => render(wasRemote))
    }, renderDelayMs)
  }

  const stops = [
    view.onChange((event) => renderSoon(event !== null)), // the event of an own write changes nothing that is shown
    user.onChange(renderProjects),
    here.onChange(() => renderSoon(false)),
    () => clearTimeout(timer),
  ]
  showPage(
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
  renderSoon(false)
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
