// The live board: a page that shows the client at work. It has no state of its own: sign in, choose a project, and what is
// shown is the live view of the client, with writes that are not sent yet.
import { createClient } from '../../packages/client/src/client.ts'
import { ApiError, StoppedError, type StopReason } from '../../packages/client/src/errors.ts'
import { indexedDbStorage } from '../../packages/client/src/indexed-db-storage.ts'
import type { UserView } from '../../packages/client/src/views/user-view.ts'
import { openBoard } from './board.ts'
import { h, notify, showPage, textOf } from './elements.ts'

const storage = indexedDbStorage('tasktide-board')

const client = createClient({
  url: location.origin,
  useCookie: true,
  outbox: storage,
  views: storage,
  onConflict: () => {
    notify(
      'Your change was not saved: another person changed the same fields first, and that change was kept.',
    )
    return 'theirs'
  },
  onRefused: (_write, error) => notify(`Not saved: ${error.message}`),
})

/** In the address, so that a link leads to a project. */
const projectInAddress = (): string => location.hash.slice(1)

let closeBoard = (): void => {}
/** The project of the open board; empty without one. */
let shownId = ''

const leaveBoard = (): void => {
  closeBoard()
  closeBoard = () => {}
  shownId = ''
}

const showSignIn = (notice = ''): void => {
  leaveBoard()
  const error = h('p', { role: 'alert' }, notice)
  const email = h('input', { type: 'email', name: 'email', autocomplete: 'username', required: true })
  const password = h('input', {
    type: 'password',
    name: 'password',
    autocomplete: 'current-password',
    required: true,
  })
  const button = h('button', {}, 'Sign in')
  const signIn = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault()
    button.disabled = true
    error.textContent = ''
    try {
      await client.auth.signIn({ email: email.value, password: password.value })
      await showProject()
    } catch (failure) {
      error.textContent =
        failure instanceof ApiError && failure.status === 401
          ? 'This address and this password do not belong together.'
          : `The server did not sign you in: ${textOf(failure)}`
      button.disabled = false
    }
  }
  document.title = 'Tasktide board'
  showPage(
    h(
      'main',
      { class: 'card' },
      h('p', { class: 'brand' }, 'Tasktide'),
      h('h1', {}, 'The live board'),
      h('p', {}, 'Open it in two windows, and change something in one of them.'),
      h(
        'form',
        { onsubmit: (event: SubmitEvent) => void signIn(event) },
        h('label', {}, 'E-mail address', email),
        h('label', {}, 'Password', password),
        button,
        error,
      ),
    ),
  )
  email.focus()
}

const showNotice = (text: string, button: string, onClick: () => void): void => {
  leaveBoard()
  showPage(
    h(
      'main',
      { class: 'card' },
      h('p', { class: 'brand' }, 'Tasktide'),
      h('p', { role: 'status' }, text),
      h('button', { type: 'button', onclick: onClick }, button),
    ),
  )
}

/** What ended the view, for people. */
const stopTexts: Partial<Record<StopReason, string>> = {
  not_found: 'This project does not exist, or you may not read it.',
  revoked: 'This project was deleted, or you may not read it any more.',
  origin_refused:
    'The server accepts no sessions from this address of the page: it has to be in ALLOWED_ORIGINS.',
  too_many_connections: 'You have too many windows open. Close some of them.',
  protocol: 'This page is of another version than the server: reload it.',
}

const onStopped = (error: unknown): void => {
  const reason = error instanceof StoppedError ? error.reason : null
  if (reason === 'signed_out') return showSignIn('')
  const text = (reason && stopTexts[reason]) ?? `The live view has ended: ${textOf(error)}`
  if (reason === 'not_found' || reason === 'revoked') {
    history.replaceState(null, '', location.pathname)
    return showNotice(text, 'Show my projects', () => void showProject())
  }
  showNotice(text, 'Try again', () => {
    client.reconnect()
    void showProject()
  })
}

/** Shows the project of the address, or another one. */
const showProject = async (): Promise<void> => {
  using user = client.live()
  try {
    await user.ready
    const projectId = await choose(user)
    history.replaceState(null, '', `#${projectId}`)
    if (projectId === shownId) return // the address named none that can be shown
    const closeFormer = closeBoard
    shownId = projectId
    closeBoard = openBoard({
      client,
      projectId,
      onProject: (id) => {
        location.hash = id
      },
      onSignedOut: () => showSignIn(),
      onStopped,
    })
    closeFormer() // after the next one was opened, so that the connection stays
  } catch (error) {
    onStopped(error)
  }
}

/** A project that was joined since the last visit is not in a stored list: waits for the server's. */
const choose = async (user: UserView): Promise<string> => {
  const wanted = projectInAddress()
  const has = (): boolean => user.current.projects.some(({ id }) => id === wanted)
  if (wanted !== '' && !has() && user.state !== 'live')
    await new Promise<void>((resolve) => {
      const stop = user.onChange(() => {
        if (!has() && user.state !== 'live' && user.state !== 'stopped') return
        stop()
        resolve()
      })
    })
  if (user.error) throw user.error
  if (has()) return wanted
  const { projects } = user.current
  return (projects.find(({ kind, archivedAt }) => kind === 'project' && archivedAt === null) ?? projects[0])!
    .id
}

addEventListener('hashchange', () => void showProject())
showPage(
  h(
    'main',
    { class: 'card' },
    h('p', { class: 'brand' }, 'Tasktide'),
    h('p', { role: 'status' }, 'Connecting …'),
  ),
)
void showProject()
