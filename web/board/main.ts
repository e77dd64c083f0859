// The live board: a page that shows the client at work. It has no state of its own: sign in, choose a project, and what is
// shown is the live view of the client, with unsent writes, over reloads and without a network.
import { createClient, type Client } from '../../packages/client/src/client.ts'
import { ApiError } from '../../packages/client/src/errors.ts'
import { indexedDbStorage } from '../../packages/client/src/indexed-db-storage.ts'
import { openBoard } from './board.ts'
import { h, toast } from './elements.ts'

const storage = indexedDbStorage('tasktide-board')

const client = createClient({
  url: location.origin,
  useCookie: true,
  outbox: storage,
  views: storage,
  onConflict: ({ write }) => {
    toast(
      `Somebody else changed the same fields first; ${write.change.kind === 'delete' ? 'the task stays' : 'theirs stays'}.`,
    )
    return 'theirs'
  },
  onRefused: (_write, error) => toast(`Not saved: ${error.message}`),
})

/** In the address, so that a link leads to a project. */
const projectInAddress = (): string => location.hash.slice(1)

const showSignIn = (notice = ''): void => {
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
      await showProjects()
    } catch (failure) {
      error.textContent =
        failure instanceof ApiError && failure.status === 401
          ? 'This address and this password do not belong together.'
          : `The server did not sign you in: ${failure instanceof Error ? failure.message : 'unknown error'}`
      button.disabled = false
    }
  }
  document.body.replaceChildren(
    h(
      'main',
      { class: 'sign-in' },
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
      h(
        'p',
        { class: 'hint' },
        'Where the demo data is: user@example.com with user123, admin@example.com with admin123.',
      ),
    ),
  )
  email.focus()
}

/** The board of a project, with the list of projects beside it. */
const showProjects = async (): Promise<void> => {
  using user = client.live()
  await user.ready
  const { projects } = user.current
  const wanted = projectInAddress()
  const first =
    projects.find(({ kind, archivedAt }) => kind === 'project' && archivedAt === null) ?? projects[0]
  showBoard(client, (projects.find(({ id }) => id === wanted) ?? first)!.id)
}

let close = (): void => {}

const showBoard = (own: Client, projectId: string): void => {
  close()
  history.replaceState(null, '', `#${projectId}`)
  close = openBoard({
    client: own,
    projectId,
    onProject: (id) => showBoard(own, id),
    onSignedOut: (notice) => {
      close()
      close = () => {}
      history.replaceState(null, '', location.pathname)
      showSignIn(notice)
    },
  })
}

const start = async (): Promise<void> => {
  try {
    await showProjects()
  } catch {
    showSignIn() // no session yet, or none any more
  }
}

void start()
